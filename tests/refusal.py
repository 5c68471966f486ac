# SPDX-License-Identifier: Apache-2.0
"""What a command would print of an error, where it is called from Python."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scam.commandline.command import as_typed
from scam.errors import InputError


@contextmanager
def refused(match: str) -> Iterator[pytest.ExceptionInfo[InputError]]:
    """Expect an InputError of the block that, with its arguments as flags, matches."""
    with pytest.raises(InputError) as caught:
        yield caught
    told = caught.value.spelled(as_typed)
    assert re.search(match, told), told
