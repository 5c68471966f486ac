# SPDX-License-Identifier: Apache-2.0
"""The sheet of a comparison: what each model makes of the same held-out images."""

import csv
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from scam.commandline.device import open_device
from scam.comparison.runs import Run
from scam.comparison.table import TABLE
from scam.data import PairDataset
from scam.data.dataset import in_order
from scam.data.gallery import Table, save_columns, save_gallery
from scam.data.legend import label_legend
from scam.data.sheet import save_sheet
from scam.data.subset import evenly
from scam.models.checkpoint import load_checkpoint
from scam.synthesis.previews import preview

SHEET = "sheet.png"
_ROWS = 6


def write_sheet(out: Path, runs: Sequence[Run], device: str | None, *, page: bool = False) -> Path:
    """Write input, labels, and of every run its reconstruction and the next row's subject.

    runs: one or more, finished. page: also ``out/index.html``, with the table that is in ``out``
    and each image in a file of its own. Returns the sheet's path.
    """
    place = open_device(device)
    pictures = PairDataset(runs[0].held_out, runs[0].model.size)
    indices = evenly(len(pictures), _ROWS)
    image, labels = next(in_order(pictures, _ROWS, indices))
    columns: dict[str, Tensor] = {"input": image, "labels": labels}
    for run in runs:
        model = load_checkpoint(run.path, device=place).model
        made = preview(model, image.to(place), labels.to(place))
        columns[run.name], columns[f"{run.name}, transfer"] = (x.cpu() for x in made)
    names = runs[0].held_out.label_set.names
    save_sheet(out / SHEET, columns, label_names=names)
    if page:
        with (out / f"{TABLE}.csv").open(newline="", encoding="utf-8") as file:
            table = Table("measured", [*csv.reader(file)])
        stems = [runs[0].held_out.stem(index) for index in indices]
        rows = save_columns(out, columns, stems)
        legends = [label_legend(names, [labels])]
        save_gallery(out, f"comparison: {out.name}", rows, tables=[table], legends=legends)
    return out / SHEET
