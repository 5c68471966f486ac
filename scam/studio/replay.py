# SPDX-License-Identifier: Apache-2.0
"""A saved session again, without a browser."""

from pathlib import Path

from scam.errors import leading, within
from scam.storage.files import write_aside
from scam.storage.outputs import expect_outputs
from scam.storage.reading import read_json
from scam.studio.files import FILES
from scam.studio.render import Opener
from scam.studio.session import Session


def replay(opener: Opener, path: Path, out: Path, *, overwrite: bool = False) -> None:
    """Write into the folder ``out`` the files that the server makes of the session at ``path``.

    InputError if it is none of this model, or ``out`` cannot take them.
    """
    outputs = [("out", out, out / name) for name in FILES]
    expect_outputs(outputs, [path, *opener.checkpoint.files], overwrite=overwrite)
    with leading("replay", path):
        session = Session.read(read_json(path))
        with within(path):
            opened = opener(session)
            made = {name: make(opened) for name, make in FILES.items()}
    for name, content in made.items():
        with write_aside(out / name, overwrite=overwrite) as file:
            file.write(content)
