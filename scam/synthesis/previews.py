# SPDX-License-Identifier: Apache-2.0
"""What a run looks at between steps: held-out PSNR, the floors to beat, and the sheet."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from scam.commandline.progress import progress
from scam.data import PairDataset
from scam.data.dataset import in_order
from scam.data.sheet import save_sheet
from scam.data.subset import evenly
from scam.metrics import ColourFloors, Psnr
from scam.models import RunningMean, Styles, SynthesisModel
from scam.models.views import Role

_PICTURES_AT_MOST = 512
_MEAN_PICTURES = 64
_SHEET_ROWS = 6
REFINE_STEPS = 100
"""What brings out patterns that the encoder misses: see docs/results.md."""


def _spread(
    dataset: PairDataset, batch_size: int = 64, workers: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    return in_order(dataset, batch_size, evenly(len(dataset), _PICTURES_AT_MOST), workers)


@torch.no_grad()
def reconstruction_psnr(model: SynthesisModel, dataset: PairDataset, batch_size: int) -> Psnr:
    """PSNR of the model's reconstructions, with fixed noise if any, of at most 512 images spread
    over ``dataset``: ``python -m scam.evaluate`` takes all.
    """
    device, psnr = model.token_labels.device, Psnr()
    model.eval()
    for image, labels in _spread(dataset, batch_size):
        image, labels = image.to(device), labels.to(device)
        generated = model.generate(labels, model.encode(image, labels), model.fixed_noise())
        psnr.update(generated, image)
    return psnr


def learn_colours(train: PairDataset, workers: int = 0) -> ColourFloors:
    """Flat colours that know the means of at most 512 images spread over ``train``."""
    floors = ColourFloors(len(train.source.label_set.names))
    with progress("read images", min(len(train), _PICTURES_AT_MOST)) as bar:
        for image, labels in _spread(train, workers=workers):
            floors.learn(image, labels)
            bar.update(len(image))
    return floors


def colour_floors(floors: ColourFloors, held_out: PairDataset) -> dict[str, float]:
    """Pooled PSNR on ``held_out``, of which at most 512 images are taken, of flat colours: those
    that :func:`learn_colours` found in the training set, and each image's own, per label.
    """
    by_mean, by_own = Psnr(), Psnr()
    for image, labels in _spread(held_out):
        by_mean.update(floors.in_mean_colours(labels), image)
        by_own.update(floors.in_own_colours(image, labels), image)
    return {"psnr_mean_colours": by_mean.pooled, "psnr_own_colours": by_own.pooled}


@torch.no_grad()
def mean_styles(model: SynthesisModel, dataset: PairDataset, batch_size: int) -> Styles:
    """The mean styles of 64 images spread over ``dataset``, as of one image, on the CPU; more
    are taken while labels are missing, up to 512.
    """
    device = model.token_labels.device
    mean = RunningMean(model.token_labels)
    wanted = evenly(len(dataset), _PICTURES_AT_MOST)
    stride = -(-len(wanted) // _MEAN_PICTURES)
    wanted = [i for first in range(stride) for i in wanted[first::stride]]
    for number, (image, labels) in enumerate(in_order(dataset, batch_size, wanted)):
        if number * batch_size >= _MEAN_PICTURES and bool((mean.count > 0).all()):
            break
        mean.add(model.encode(image.to(device), labels.to(device)))
    return mean.styles()


def draw_sheet(
    model: SynthesisModel,
    dataset: PairDataset,
    path: Path,
    scale: int | None = None,
    *,
    refine: int = 0,
    batch_size: int = 1,
) -> None:
    """Save the :func:`preview_columns` of six images spread over the data set, a row for each.

    scale: see :func:`scam.data.sheet.draw_sheet`.
    """
    device = model.token_labels.device
    rows = evenly(len(dataset), _SHEET_ROWS)
    image, labels = (x.to(device) for x in next(in_order(dataset, len(rows), rows)))
    columns = preview_columns(model, image, labels, refine, batch_size)
    save_sheet(path, columns, scale=scale, label_names=dataset.source.label_set.names)


@torch.no_grad()
def preview_columns(
    model: SynthesisModel, image: Tensor, labels: Tensor, refine: int = 0, batch_size: int = 1
) -> dict[str, Tensor]:
    """image (B, 3, H, W), labels (B, H, W), reconstructions, and the next row's subject in this
    row's scene, by the words above them.

    refine: above 0, both from latents fitted in so many steps too, ``batch_size`` images at a
    time.
    """
    columns = {"input": image, "labels": labels}
    columns["reconstruction"], columns["transfer of next row"] = preview(model, image, labels)
    if refine:
        columns["refined latents"], columns["refined transfer"] = preview(
            model, image, labels, refine, batch_size
        )
    return columns


@torch.no_grad()
def preview(
    model: SynthesisModel, image: Tensor, labels: Tensor, refine: int = 0, batch_size: int = 1
) -> tuple[Tensor, Tensor]:
    """Reconstructions of image (B, 3, H, W) under labels (B, H, W), and transfers.

    A transfer, (B, 3, H, W) too, shows the next image's subject in each image's scene. refine:
    steps that fit the latents, ``batch_size`` images at a time.
    """
    own = _encoded(model, image, labels, refine, batch_size)
    roles: tuple[Role, Role] = ("host", "donor")
    scenes, subjects = (
        _encoded(model, image, labels, refine, batch_size, role) if refine else own
        for role in roles
    )
    following = subjects[[*range(1, len(image)), 0]]
    mixed = model.mix(following, scenes, scenes.present)
    reconstruction = model.generate(labels, own, model.fixed_noise())
    return reconstruction, model.generate(labels, mixed, model.fixed_noise())


def _encoded(
    model: SynthesisModel,
    image: Tensor,
    labels: Tensor,
    refine: int,
    batch_size: int,
    role: Role = "alone",
) -> Styles:
    size = batch_size if refine else len(image)
    parts = zip(image.split(size), labels.split(size), strict=True)
    styles = [model.encode(x, y, refine=refine, role=role) for x, y in parts]
    return Styles(torch.cat([x.tokens for x in styles]), torch.cat([x.present for x in styles]))
