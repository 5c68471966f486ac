# SPDX-License-Identifier: Apache-2.0
"""The files an evaluation leaves: ``report.json``, ``pairs.json``, ``sheet.png``, and a page."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scam.data.gallery import INDEX, PICTURES, Table, save_columns, save_gallery
from scam.data.legend import label_legend
from scam.data.subset import evenly
from scam.errors import InputError, sized
from scam.evaluation.batches import Batch
from scam.evaluation.rows import Row, table_lines
from scam.evaluation.setup import EvaluationSetup
from scam.storage.files import write_json
from scam.storage.outputs import expect_outputs

REPORT, PAIRS, SHEET = "report.json", "pairs.json", "sheet.png"
SHEET_ROWS = 6


def heading(facts: Mapping[str, Any]) -> list[str]:
    """What is measured, in two lines."""
    return [
        f"{facts['checkpoint']}, weights {facts['weights']}",
        f"{facts['pictures']} {facts['split']} images of {facts['data']['data']} "
        f"at {sized(facts['size'])}, seed {facts['seed']}; "
        f"background: {', '.join(facts['background_labels'])}; absent labels: {facts['absent']}",
    ]


def expect_unused(
    out: Path, inputs: Iterable[Path], *, page: bool = False, overwrite: bool
) -> None:
    """InputError if ``out`` is a file, or holds what would be written there, unless ``overwrite``.

    inputs: files, and folders of images, that are read and not to be changed in any case.
    page: whether :func:`write_page` will write there, too.
    """
    if os.path.exists(out) and not os.path.isdir(out):
        raise InputError("{out} is a file, expected a folder", out=out)
    files = [out / name for name in (REPORT, PAIRS, SHEET, *([INDEX] if page else []))]
    for file in (*files, *([out / PICTURES] if page else [])):
        if os.path.lexists(file) and not overwrite:
            raise InputError(
                f"{{out}} holds a {file.name} already: give another folder, or {{overwrite}}",
                out=out,
                overwrite=True,
            )
    expect_outputs([("out", out, file) for file in files], inputs, overwrite=overwrite)


def write_pairs(
    folder: Path, stems: Sequence[str], donors: Sequence[int], *, overwrite: bool
) -> None:
    """Who received whose subject; ``--pairs`` reads it again."""
    found = {stem: stems[donor] for stem, donor in zip(stems, donors, strict=True)}
    write_json(folder / PAIRS, {"donors": found}, overwrite=overwrite)


def write_report(
    folder: Path, facts: Mapping[str, Any], rows: Sequence[Row], *, overwrite: bool
) -> None:
    """Everything the table says, and under which settings."""
    found = {**facts, "rows": [row.as_dict() for row in rows]}
    write_json(folder / REPORT, found, overwrite=overwrite)


def write_page(
    folder: Path,
    setup: EvaluationSetup,
    rows: Sequence[Row],
    columns: Mapping[str, Tensor],
    *,
    overwrite: bool,
) -> Path:
    """The table and the sheet's images, each in a file of its own, as a page; its path.

    columns: of the sheet.
    """
    title, about = heading(setup.facts)
    stems = setup.stems
    names = [stems[index] for index in evenly(len(stems), SHEET_ROWS)]
    return save_gallery(
        folder,
        title,
        save_columns(folder, columns, names, overwrite=overwrite),
        facts=[about],
        tables=[Table("measured", table_lines(rows))],
        legends=[label_legend(setup.checkpoint.label_names, [columns["labels"]])],
        overwrite=overwrite,
    )


@torch.no_grad()
def sheet_columns(batch: Batch) -> dict[str, Tensor]:
    """Hosts and donors and what was made of them, by caption: of a sheet, one host a row."""
    return {
        "image": batch.image,
        "labels": batch.labels,
        "reconstruction": batch.reconstruction,
        "donor": batch.donor_image,
        "donor's whole code": batch.swap,
        "donor's subject": batch.transfer,
    }
