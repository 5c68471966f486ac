# SPDX-License-Identifier: Apache-2.0
"""A saved session again, without a browser."""

from pathlib import Path

from scam.errors import leading, within
from scam.storage.files import write_aside
from scam.storage.reading import read_json
from scam.studio.files import FILES
from scam.studio.render import Opener
from scam.studio.session import Session


def replay(opener: Opener, path: Path, out: Path, *, overwrite: bool = False) -> None:
    """Write into the folder ``out`` the files that the server makes of the session at ``path``.

    InputError if it is none of this model; nothing is written then.
    """
    with leading("replay", path):
        session = Session.read(read_json(path))
        with within(path):
            opened = opener(session)
            made = {name: make(opened) for name, make in FILES.items()}
    for name, content in made.items():
        with write_aside(out / name, overwrite=overwrite) as file:
            file.write(content)
