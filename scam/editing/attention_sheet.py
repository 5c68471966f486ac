# SPDX-License-Identifier: Apache-2.0
"""What attends to what, drawn: a row per layer, a heat map for each latent of a label."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scam.data.latent_colours import latent_colours, latent_legend
from scam.data.sheet import save_sheet
from scam.editing.pictures import Picture
from scam.errors import InputError, did_you_mean
from scam.models.attention_map import AttentionMap
from scam.models.checkpoint import Checkpoint
from scam.storage.files import write_aside

Maps = Mapping[str, AttentionMap]
"""By layer, of one image."""
_HOT = (1.0, 0.1, -0.9)
"""Colour, in [-1, 1], of the largest weight: of the generator's layer, of the encoder's latent."""
_DIM = 0.35


def choose_layers(known: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """``wanted`` of the layers ``known``; by default the encoder's first and the generator's last.

    ``["all"]`` are all. InputError for a layer that is none of them.
    """
    if wanted is None:
        return [known[0], [name for name in known if name.endswith(".2")][-1]]
    if list(wanted) == ["all"]:
        return list(known)
    for layer in wanted:
        if layer not in known:
            expected = f"some of {', '.join(known)}, or all{did_you_mean(layer, known)}"
            raise InputError(f"{{layers}}: expected {expected}", layers=layer)
    return list(wanted)


def tensors_with(
    checkpoint: Checkpoint, picture: Picture, only: Collection[int] = ()
) -> tuple[Tensor, Tensor]:
    """Image (1, 3, H, W) and labels (1, H, W). InputError for one of ``only`` that they lack."""
    model = checkpoint.model
    image, labels = picture.tensors(checkpoint.frame, model.token_labels.device)
    for label in only:
        if not (labels == label).any():
            name = checkpoint.label_names[label]
            raise InputError(f"{{only}}: not in the label map of {picture.name}", only=name)
    return image, labels


def save_maps_sheet(
    path: Path,
    checkpoint: Checkpoint,
    picture: Picture,
    maps: Maps,
    only: Sequence[int] = (),
    *,
    scale: int | None = None,
    overwrite: bool = False,
) -> dict[str, float]:
    """A row per layer: image, labels, the strongest latent, a heat map for each latent.

    only: the labels to show, by default all. scale: see :func:`scam.data.sheet.draw_sheet`.
    Returns the largest weight shown of each layer.
    """
    size = checkpoint.model.config.size
    image, labels = picture.tensors(checkpoint.frame, checkpoint.model.token_labels.device)
    grey = image.mean(1, keepdim=True).expand_as(image) * _DIM - (1 - _DIM)
    strongest, heat, largest = [], [], {}
    for layer, found in maps.items():
        chosen = found.labels >= 0
        if only:
            chosen &= torch.isin(found.labels, torch.tensor(only, device=chosen.device))
        weights = found.weights * chosen.unsqueeze(-1)
        largest[layer] = float(weights.max())
        if layer.startswith("encoder"):
            weights = _relative(weights, found.labels)
        else:
            weights = weights / weights.max().clamp(min=torch.finfo(weights.dtype).tiny)
        strongest.append(_enlarged(_strongest(found, chosen), size))
        of_latent = _enlarged(weights.permute(0, 3, 1, 2).float(), size)[0].unsqueeze(1)
        hot = torch.tensor(_HOT, device=of_latent.device)[:, None, None]
        heat.append(grey + of_latent * (hot - grey))
    columns = {
        "image": image.expand(len(maps), -1, -1, -1),
        "labels": labels.expand(len(maps), -1, -1),
        "strongest": torch.cat(strongest),
    }
    for number, column in enumerate(torch.stack(heat, dim=1)):
        columns[f"latent {number}"] = column
    save_sheet(
        path,
        columns,
        scale=scale,
        overwrite=overwrite,
        rows=list(maps),
        label_names=checkpoint.label_names,
        legends=[latent_legend(len(columns) - 3)],
    )
    return largest


def _relative(weights: Tensor, labels: Tensor) -> Tensor:
    """Each latent's weights (1, h, w, k) over its label's pixels, as parts of the largest."""
    largest = torch.ones_like(weights)
    for label in labels.unique().tolist():
        mine = (labels == label).unsqueeze(-1)
        most = (weights * mine).amax((1, 2), keepdim=True)
        largest = torch.where(mine, most.clamp(min=torch.finfo(weights.dtype).tiny), largest)
    return weights / largest


def _strongest(found: AttentionMap, chosen: Tensor) -> Tensor:
    """The colour of the latent that weighs most at each pixel, (1, 3, h, w) in [-1, 1].

    Black where ``chosen`` (1, h, w) is False.
    """
    weights = found.weights
    colours = weights.new_tensor(latent_colours(weights.shape[-1]), dtype=torch.float32)
    shown = colours[weights.argmax(-1)] * chosen.unsqueeze(-1)
    return shown.permute(0, 3, 1, 2) / 127.5 - 1


def _enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="nearest")


@contextmanager
def numbers_aside(
    path: Path, maps: Maps, label_names: Sequence[str], *, overwrite: bool = False
) -> Iterator[None]:
    """Write a .npz that appears at ``path`` when the block succeeds.

    It holds ``LAYER.labels`` (h, w), ``LAYER.weights`` (h, w, k), and ``label_names``. A disk that
    has no room for it is met before the block.
    """
    arrays: dict[str, Any] = {"label_names": np.array(label_names)}
    for layer, found in maps.items():
        arrays[f"{layer}.labels"] = found.labels[0].cpu().numpy()
        arrays[f"{layer}.weights"] = found.weights[0].cpu().numpy()
    with write_aside(path, overwrite=overwrite) as file:
        np.savez_compressed(file, **arrays)
        file.flush()
        yield
