# SPDX-License-Identifier: Apache-2.0
"""A saved session again, without a browser."""

from pathlib import Path

import torch

from scam.commandline.console import say
from scam.errors import InputError, counted, leading
from scam.storage.files import write_aside
from scam.storage.reading import read_json
from scam.studio.interface import SessionOpener
from scam.studio.session import Session


def replay(opener: SessionOpener, path: Path, out: Path, *, overwrite: bool = False) -> None:
    """Write into the folder ``out`` the files that the server makes of the session at ``path``.

    InputError if it is none of this model; nothing is written then.
    """
    with leading("replay", path):
        value = read_json(path)
    try:
        session = Session.read(value)
        opened = opener(session)
        made = {name: make(opened) for name, make in opener.files.items()}
    except InputError as error:  # whose fields are not flags, though some are called as these are
        raise InputError(f"{path}: {error}") from error
    for name, content in made.items():
        with write_aside(out / name, overwrite=overwrite) as file:
            file.write(content)
    threads = torch.get_num_threads()
    if session.threads not in (None, threads):
        say(
            f"{path}: downloaded from a studio with {counted(session.threads, 'thread')}, "
            f"replayed with {threads}: pixels may differ (OMP_NUM_THREADS sets the number)"
        )
