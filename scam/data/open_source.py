# SPDX-License-Identifier: Apache-2.0
"""Where images come from by the name of their data: a folder, or one of those that have names."""

import os
from collections.abc import Callable, Set
from pathlib import Path

from scam.data.fit import Fit
from scam.data.folder import FolderPairs
from scam.data.labels import MergeSpec
from scam.data.mannequins import Mannequins
from scam.data.options import MANNEQUINS
from scam.data.source import PairSource
from scam.errors import InputError
from scam.storage.reading import folder_like

SOURCES: dict[str, Callable[..., PairSource]] = {MANNEQUINS: Mannequins}
"""What is not a folder, by the name that ``data`` gives; add your own.

Called with a split, ``train`` or ``val``, which have no image in common, and with ``merge`` where
one is given."""


def open_source(
    data: str | Path,
    split: str | None,
    *,
    labels: str = "labels",
    merge: MergeSpec | None = None,
    ignore_label: int | None = None,
    label_set: str | None = None,
    fit: Fit = "squash",
    holdout: int | None = None,
    held_out: Set[str] | None = None,
) -> PairSource:
    """Open one of :data:`SOURCES`, or a folder (see :class:`FolderPairs` for the arguments).

    InputError if ``data`` is neither, or if an argument means nothing where no files are.
    """
    if str(data) not in SOURCES:
        if not os.path.isdir(data):
            like = "" if os.path.lexists(data) else folder_like(Path(data), SOURCES)
            message = f"{{data}}: expected {', '.join(SOURCES)} or a folder{like}"
            raise InputError(message, data=str(data))
        return FolderPairs(
            data,
            split=split,
            labels=labels,
            merge=merge,
            ignore_label=ignore_label,
            label_set=label_set,
            fit=fit,
            holdout=holdout,
            held_out=held_out,
        )
    for name, value, default in (
        ("labels", labels, "labels"),
        ("ignore_label", ignore_label, None),
        ("label_set", label_set, None),
        ("fit", fit, "squash"),
        ("holdout", holdout, None),
    ):
        if value != default:
            raise InputError(f"{{{name}}}: {data} have no files to apply it to", **{name: value})
    if split not in ("train", "val"):
        raise InputError("{split}: expected train or val", split=split)
    merges = {} if merge is None else {"merge": merge}
    return SOURCES[str(data)](split, **merges)
