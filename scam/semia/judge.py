# SPDX-License-Identifier: Apache-2.0
"""Does an image show its layout? Asked of a segmenter that was trained on the source alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scam.errors import InputError
from scam.pretrained.full_precision import full_precision
from scam.semia.patch_distance import expect_pair
from scam.semia.segmenter import Segmenter, segmentation_loss
from scam.semia.warps import draw_warp

Draw = Callable[[torch.Generator], tuple[Tensor, Tensor]]
"""From random numbers (of a CPU generator) to an augmented image (1, 3, H, W) and its labels."""

STEPS = 300
_WIDTH, _LEVELS = 20, 2  # sees 22 pixels around: textures, no scenes
_RATE = 2e-3
_HELD_OUT = 8  # draws
_JITTER, _NOISE = 0.1, 0.03  # of colours in [-1, 1]
_BOXES = 2
_BOX = (0.25, 0.75)  # of either side


@dataclass(frozen=True)
class LayoutScores:
    """How well images show their layouts.

    accuracy: share of the labelled pixels that are seen as their label. mean_iou: intersection
    over union, averaged over the labels that occur. iou: of each of them.
    """

    accuracy: float
    mean_iou: float
    iou: dict[int, float]


@dataclass(frozen=True)
class Judge:
    """A trained segmenter, and how far it can be trusted.

    held_out: scores on augmentations that it was not trained on. source: scores on the source.
    A perfect result scores about as high.
    """

    network: Segmenter
    held_out: LayoutScores
    source: LayoutScores


def train_judge(
    image: Tensor,
    labels: Tensor,
    num_labels: int,
    draw: Draw | None = None,
    *,
    seed: int = 0,
    steps: int = STEPS,
    progress: Callable[[int], object] | None = None,
) -> Judge:
    """Train a segmenter on augmentations of one source, then measure it on others.

    Boxes of one augmentation, or of the source, are pasted into another at random places (CutMix,
    Yun et al., ICCV 2019): the judge has to know textures, and cannot learn where they are.

    Args:
        image: (1, 3, H, W) in [-1, 1].
        labels: int64 (1, H, W), 0 to ``num_labels`` - 1, below 0 for none.
        num_labels: K.
        draw: augments the source, to any size; by default it is warped at full strength.
        seed: of weights and augmentations; on a CPU, runs with one seed and number of threads are
            equal to the bit.
        steps: of training, one image each.
        progress: called with 1 after each of them.

    Raises:
        InputError: no step is asked for, shapes do not fit, there are no labels or unknown ones.
    """
    if steps < 1:
        raise InputError("{steps}: expected 1 or more", steps=steps)
    _expect_labels(image, labels, num_labels)
    draw = draw or _warps(image, labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Segmenter(num_labels, _WIDTH, _LEVELS).to(image.device)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step / steps))
    with full_precision():
        for step in range(steps):
            pasted = (image, labels) if step % 2 else draw(generator)
            mixed, wanted = _paste(pasted, draw(generator), generator)
            loss = segmentation_loss(network(_recolour(mixed, generator)), wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if progress is not None:
                progress(1)
    network.eval().requires_grad_(False)
    unseen = torch.Generator().manual_seed(seed + 1)
    held_out = [draw(unseen) for _ in range(_HELD_OUT)]
    return Judge(network, _scores(network, held_out), _scores(network, [(image, labels)]))


def layout_scores(judge: Judge, image: Tensor, labels: Tensor) -> LayoutScores:
    """How well ``image`` (1, 3, H, W) shows ``labels`` int64 (1, H, W), below 0 for none.

    InputError for other shapes, and where there are no labels or unknown ones.
    """
    _expect_labels(image, labels, judge.network.num_labels)
    return _scores(judge.network, [(image, labels)])


def _warps(image: Tensor, labels: Tensor) -> Draw:
    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        warp = draw_warp((labels.shape[1], labels.shape[2]), 1.0, generator)
        return warp.image(image), warp.labels(labels)

    return draw


def _rate(done: float) -> float:
    """Of the highest: up within a tenth of the training, then down to 0 as a cosine."""
    return min(1, 0.1 + 9 * done) * (1 + math.cos(math.pi * done)) / 2


def _expect_labels(image: Tensor, labels: Tensor, count: int) -> None:
    expect_pair(image, labels)
    highest = int(labels.max())
    if not 0 <= highest < count:
        message = f"{{labels}}: expected labels from 0 to {count - 1}"
        raise InputError(message, labels="none" if highest < 0 else highest)


@torch.no_grad()
def _scores(network: Segmenter, pairs: list[tuple[Tensor, Tensor]]) -> LayoutScores:
    """Over the pixels of all pairs together."""
    count = network.num_labels
    confusion = torch.zeros(count, count, dtype=torch.int64)  # label of the layout, label seen
    for image, labels in pairs:
        with full_precision():
            seen = network(image).argmax(1)
        known = labels >= 0
        cells = (labels[known] * count + seen[known]).cpu()
        confusion += torch.bincount(cells, minlength=count * count).view(count, count)
    hits, wanted = confusion.diagonal(), confusion.sum(1)
    union = wanted + confusion.sum(0) - hits
    iou = {k: float(hits[k] / union[k]) for k in range(count) if wanted[k]}
    return LayoutScores(float(hits.sum() / wanted.sum()), sum(iou.values()) / len(iou), iou)


def _paste(
    source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``target`` with boxes of ``source``, which come from and go to random places."""
    image, labels = (x.clone() for x in target)
    sizes = torch.tensor([labels.shape[1:], source[1].shape[1:]])
    for _ in range(_BOXES):
        draws = torch.rand(3, 2, generator=generator)
        box = (sizes.amin(0) * (_BOX[0] + (_BOX[1] - _BOX[0]) * draws[0])).long()
        (y, x), (from_y, from_x) = ((sizes - box + 1) * draws[1:]).long().tolist()
        height, width = box.tolist()
        rows, columns = slice(y, y + height), slice(x, x + width)
        from_rows, from_columns = slice(from_y, from_y + height), slice(from_x, from_x + width)
        image[..., rows, columns] = source[0][..., from_rows, from_columns]
        labels[..., rows, columns] = source[1][..., from_rows, from_columns]
    return image, labels


def _recolour(image: Tensor, generator: torch.Generator) -> Tensor:
    """Other contrast and brightness of each channel, and noise: no generated colour is exact."""
    contrast, brightness = (torch.rand(2, 1, 3, 1, 1, generator=generator) * 2 - 1) * _JITTER
    noise = torch.randn(image.shape, generator=generator) * _NOISE
    changed = image.cpu() * (1 + contrast) + brightness + noise
    return changed.clamp(-1, 1).to(image.device)
