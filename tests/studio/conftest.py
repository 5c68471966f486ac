# SPDX-License-Identifier: Apache-2.0
"""A server of a tiny model for the tests of one file."""

from collections.abc import Iterator

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from tiny_studio import Client, make_opener, serving

from scam.studio.opener import Opener


@pytest.fixture(scope="module")
def opener() -> Opener:
    return make_opener()


@pytest.fixture(scope="module")
def client(opener: Opener) -> Iterator[Client]:
    with serving(opener) as found:
        yield found
