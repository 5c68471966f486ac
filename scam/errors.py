# SPDX-License-Identifier: Apache-2.0
"""The exceptions that mean "your input" or "you said stop", never "our bug"."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that names the argument or file, the value found and what was
    expected. Commands print it and leave with status 2; in Python it is an ordinary ValueError.
    """


class Stopped(Exception):  # noqa: N818  # no error: it is what was asked for
    """A run was told to stop and has saved what it had; the message says where.

    Commands print it and leave with status 143, as a process ended by SIGTERM does.
    """


class PeerExited(Exception):  # noqa: N818  # what went wrong did so in another process
    """This process of several ends because another one does, which says why.

    Commands leave with ``status``, and print nothing but the ``cause`` where there is one: what
    broke the connection, known to the main process alone.
    """

    def __init__(self, status: int, cause: str = "") -> None:
        super().__init__(
            f"another process of this run has ended (status {status}) {cause}".strip()
        )
        self.status = status
        self.cause = cause
