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
