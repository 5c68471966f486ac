# SPDX-License-Identifier: Apache-2.0
"""Errors of what lies behind an argument, told with the argument's name."""

from collections.abc import Iterator
from contextlib import contextmanager

from scam.errors import InputError, one_line


@contextmanager
def naming(argument: str) -> Iterator[None]:
    """Lead every InputError of the block with ``argument``: a flag, or a flag and its value.

    An error that names an argument already stays as it is; a value that both name is said once.
    """
    try:
        yield
    except InputError as error:
        text = str(error)
        if text.startswith("--"):
            raise
        value = one_line(argument.partition(" ")[2])
        raise InputError(f"{argument}: {text.removeprefix(f'{value}: ')}") from error
