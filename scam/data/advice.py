# SPDX-License-Identifier: Apache-2.0
"""Commands that make label maps readable and keep what their values mean."""

import shlex
from pathlib import Path


def prepare_command(
    kind: str, root: Path | None = None, labels: str = "labels", flags: str = ""
) -> str:
    """The command that makes index maps of ``root/<labels>``, ready for a shell.

    Without ``root`` it says SRC and DST.
    """
    src, dst = "SRC", "DST"
    if root is not None:
        root = root if root.name else root.resolve()
        src, dst = (shlex.quote(str(path)) for path in (root, f"{root}_indexed"))
    named = "" if labels == "labels" else f"--labels {shlex.quote(labels)}"
    words = ["python -m scam.data prepare", kind, src, dst, named, flags]
    return " ".join(word for word in words if word)
