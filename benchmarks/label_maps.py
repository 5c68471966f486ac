# SPDX-License-Identifier: Apache-2.0
"""Label maps to measure on: drawn ones of several kinds, and real ones from a folder."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from scam.errors import InputError

KINDS = ("coherent", "noise", "one", "absent", "real")
PRESENT = 11
"""Labels that an ADE20K map holds on average; what an ``absent`` map holds."""


def label_map(
    kind: str, side: int, num_labels: int, *, batch: int, seed: int = 0, folder: Path | None = None
) -> Tensor:
    """Labels (batch, side * side), uint8, by kind.

    ``coherent``: two cells of a Voronoi diagram per label; ``noise``: independent pixels;
    ``one``: a single label; ``absent``: coherent with 11 of the labels; ``real``: maps of
    ``folder``, cropped to a square and resized. The first two hold every label that fits.
    """
    random = torch.Generator().manual_seed(seed)
    if kind == "real":
        if folder is None:
            raise InputError("real label maps: name their folder with --label-maps")
        files = real_files(folder)
        maps = [_read(files[i % len(files)], side, num_labels) for i in range(batch)]
    elif kind == "one":
        maps = [torch.full((side * side,), num_labels // 2)] * batch
    elif kind == "noise":
        maps = [_noise(side * side, num_labels, random) for _ in range(batch)]
    elif kind == "coherent":
        maps = [_voronoi(side, torch.arange(num_labels), random) for _ in range(batch)]
    elif kind == "absent":
        few = torch.randperm(num_labels, generator=random)[:PRESENT]
        maps = [_voronoi(side, few, random) for _ in range(batch)]
    else:
        raise InputError(f"label map {kind!r}: expected one of {', '.join(KINDS)}")
    return torch.stack(maps).to(torch.uint8)


def patch_numbers(labels: Tensor) -> tuple[Tensor, int]:
    """Number the distinct 5x5 label patches of maps (B, H, W); outside the map is one more label.

    Returns:
        (B, H, W), int64, and how many there are.
    """
    padded = F.pad(labels.float().unsqueeze(1), (2, 2, 2, 2), value=-1)
    patches = F.unfold(padded, 5).mT.flatten(0, 1).to(torch.int16)
    distinct, numbers = torch.unique(patches, dim=0, return_inverse=True)
    return numbers.view(labels.shape), len(distinct)


def real_files(folder: Path) -> list[Path]:
    """The label maps in a folder, sorted; InputError when there is none."""
    files = sorted(folder.glob("*.png"))
    if not files:
        raise InputError(f"--label-maps {folder}: no .png file in there")
    return files


def real_num_labels(folder: Path) -> int:
    """One more than the highest label of any map in the folder."""
    return 1 + max(int(np.asarray(Image.open(file)).max()) for file in real_files(folder))


def _noise(count: int, num_labels: int, random: torch.Generator) -> Tensor:
    drawn = torch.randint(num_labels, (count,), generator=random)
    places = torch.randperm(count, generator=random)[:num_labels]
    drawn[places] = torch.arange(len(places))
    return drawn


def _voronoi(side: int, labels: Tensor, random: torch.Generator) -> Tensor:
    """Nearest of 2 sites per label; the pixel of a label's first site keeps it in any case."""
    count = min(2 * len(labels), side * side)
    pixels = torch.randperm(side * side, generator=random)[:count]
    owners = labels[torch.arange(count) % len(labels)]
    sites = torch.stack([pixels // side, pixels % side], dim=1).float()
    grid = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float()
    nearest = torch.cat([torch.cdist(rows, sites).argmin(1) for rows in grid.split(1 << 14)])
    drawn = owners[nearest]
    drawn[pixels] = owners
    return drawn


def _read(file: Path, side: int, num_labels: int) -> Tensor:
    with Image.open(file) as picture:
        if picture.mode not in ("L", "P"):
            raise InputError(f"{file}: expected one 8-bit channel or a palette, {picture.mode=}")
        edge = min(picture.size)
        left, top = ((extent - edge) // 2 for extent in picture.size)
        square = picture.crop((left, top, left + edge, top + edge))
        values = np.array(square.resize((side, side), Image.Resampling.NEAREST))
    labels = torch.from_numpy(values).long().flatten()
    return labels.clamp(max=num_labels - 1)
