# SPDX-License-Identifier: Apache-2.0
"""How a command is started: ``python -m scam.train`` or ``scam train``."""

import os
import re
import signal
from collections.abc import Sequence
from itertools import pairwise

ABOUT = {
    "train": "Train a model on a folder of images, or on drawn mannequins.",
    "evaluate": "Measure a trained model.",
    "transfer": "Put the subject of one photograph into another.",
    "styles": "Save the latents of images, to use them in transfers.",
    "attention": "Draw what attends to what in one image.",
    "studio": "Edit photographs by label map, on a page in the browser.",
    "semia": "Learn one image with its label map and generate it under other label maps.",
    "data": "Images with label maps: make, prepare and check them.",
    "compare": "Train models or variants alike, measure and compare them in a table and a sheet.",
    "profile": "Time and memory of a training step, module by module.",
    "export": "Export encoder and generator of a trained model with torch.export.",
    "info": "Versions, how scam was built, and which backends work or why not.",
}
"""Command -> what it does, the first line of its ``--help``."""

_script = False


def prepare(*, script: bool) -> None:
    """Set this process up for a command, before torch is imported.

    PyTorch's OpenMP threads wait for each other by spinning. On a machine with other work, two
    threads that share a core spin against each other: a training step was measured at 14 s in
    place of 0.5 s, and at 1.9 s with this bound, which costs a tenth where nothing else runs. It
    is read when torch is first imported.

    Args:
        script: whether it is the console script ``scam``, see :func:`as_typed`.
    """
    global _script
    _script = script
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    # Ctrl-C while torch is imported ends the command at once; later `commandline.command.run`
    # answers it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    open_descriptors()


def names_command(words: Sequence[str]) -> bool:
    """Whether ``words``, of ``sys.orig_argv``, start Python with ``-m scam`` or ``-m scam.NAME``:
    another package's module may import scam as well.
    """
    for word, following in pairwise([*words, ""]):
        if found := re.fullmatch(r"-[bBdEhiIOPqRsSuvVx]*m(.*)", word):
            return (found[1] or following).partition(".")[0] == "scam"
    return False


def open_descriptors() -> None:
    """Let nothing opened later become the 0, 1 or 2 that the parent process closed.

    A library's messages would go into that file.
    """
    for standard in (0, 1, 2):
        try:
            os.fstat(standard)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def as_typed(text: str) -> str:
    """``text`` with ``scam train`` for ``python -m scam.train``, in the console script."""
    if not _script:
        return text
    return re.sub(rf"\bpython -m scam(?:\.({'|'.join(ABOUT)})\b)?", _typed, text)


def _typed(found: re.Match[str]) -> str:
    return f"scam {found[1]}" if found[1] else "scam"
