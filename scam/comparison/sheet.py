# SPDX-License-Identifier: Apache-2.0
"""The sheet of a comparison: what each model makes of the same held-out pictures."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from scam.commandline.device import open_device
from scam.comparison.runs import Run
from scam.data import PairDataset
from scam.data.dataset import in_order
from scam.data.sheet import save_sheet
from scam.data.subset import evenly
from scam.models.checkpoint import load_checkpoint
from scam.synthesis.previews import preview

SHEET = "sheet.png"
_ROWS = 6


def write_sheet(out: Path, runs: Sequence[Run], device: str | None) -> Path:
    """Write input, labels, and of every run its reconstruction and the next row's subject.

    runs: one or more, finished. Returns the file.
    """
    place = open_device(device)
    pictures = PairDataset(runs[0].held_out, runs[0].model.size)
    image, labels = next(in_order(pictures, _ROWS, evenly(len(pictures), _ROWS)))
    columns: dict[str, Tensor] = {"input": image, "labels": labels}
    for run in runs:
        model = load_checkpoint(run.path, device=place).model
        made = preview(model, image.to(place), labels.to(place))
        columns[run.name], columns[f"{run.name}, transfer"] = (x.cpu() for x in made)
    save_sheet(out / SHEET, columns)
    return out / SHEET
