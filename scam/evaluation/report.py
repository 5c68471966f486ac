# SPDX-License-Identifier: Apache-2.0
"""The files an evaluation leaves: ``report.json``, ``pairs.json`` and ``sheet.png``."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from scam.data.sheet import save_sheet
from scam.errors import InputError
from scam.evaluation.pictures import Pictures
from scam.evaluation.rows import Row
from scam.storage.files import write_json
from scam.storage.outputs import expect_outputs

REPORT, PAIRS, SHEET = "report.json", "pairs.json", "sheet.png"


def heading(facts: Mapping[str, Any]) -> list[str]:
    """What is measured, in two lines."""
    height, width = facts["size"]
    return [
        f"{facts['checkpoint']}, weights {facts['weights']}",
        f"{facts['pictures']} {facts['split']} pictures of {facts['data']['data']} "
        f"at {height}x{width}, seed {facts['seed']}; "
        f"background: {', '.join(facts['background_labels'])}; absent labels: {facts['absent']}",
    ]


def expect_unused(out: Path, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """InputError if ``out`` is a file, or holds what would be written there, unless ``overwrite``.

    inputs: files, and folders of pictures, that are read and not to be changed in any case.
    """
    if os.path.exists(out) and not os.path.isdir(out):
        raise InputError("{out} is a file, expected a folder", out=out)
    files = [out / name for name in (REPORT, PAIRS, SHEET)]
    for file in files:
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


@torch.no_grad()
def write_sheet(folder: Path, pictures: Pictures, *, overwrite: bool) -> None:
    """Hosts and donors and what was made of them, one host a row."""
    columns = {
        "picture": pictures.image,
        "labels": pictures.labels,
        "reconstruction": pictures.reconstruction,
        "donor": pictures.donor_image,
        "donor's whole code": pictures.swap,
        "donor's subject": pictures.transfer,
    }
    save_sheet(folder / SHEET, columns, overwrite=overwrite)
