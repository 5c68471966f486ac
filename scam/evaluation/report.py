# SPDX-License-Identifier: Apache-2.0
"""The files an evaluation leaves: ``report.json``, ``pairs.json`` and ``sheet.png``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from scam.errors import InputError
from scam.evaluation.pictures import Pictures
from scam.evaluation.rows import Row
from scam.files import write_json
from scam.sheet import save_sheet

REPORT, PAIRS, SHEET = "report.json", "pairs.json", "sheet.png"


def expect_unused(out: Path) -> None:
    """InputError if ``out`` holds a report already, or is a file."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file, expected a folder")
    if (out / REPORT).exists():
        raise InputError(f"--out {out} holds a {REPORT} already: give another --out")


def write_pairs(folder: Path, stems: Sequence[str], donors: Sequence[int]) -> None:
    """Who received whose subject; ``--pairs`` reads it again."""
    found = {stem: stems[donor] for stem, donor in zip(stems, donors, strict=True)}
    write_json(folder / PAIRS, {"donors": found})


def write_report(folder: Path, facts: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Everything the table says, and under which settings."""
    write_json(folder / REPORT, {**facts, "rows": [row.as_dict() for row in rows]})


@torch.no_grad()
def write_sheet(folder: Path, pictures: Pictures) -> None:
    """Hosts and donors and what was made of them, one host a row."""
    columns = {
        "picture": pictures.image,
        "labels": pictures.labels,
        "reconstruction": pictures.reconstruction,
        "donor": pictures.donor_image,
        "donor's whole code": pictures.swap,
        "donor's subject": pictures.transfer,
    }
    save_sheet(folder / SHEET, columns)
