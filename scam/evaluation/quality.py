# SPDX-License-Identifier: Apache-2.0
"""How close reconstructions come to the images they reconstruct."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from scam.data import PairDataset
from scam.errors import InputError, MissingError, sized
from scam.evaluation.batches import Batch
from scam.evaluation.rows import Row, label_row
from scam.metrics import ColourFloors, LabelPsnr, Psnr
from scam.pretrained.lpips import lpips_distance
from scam.pretrained.published import LPIPS_TRUNKS
from scam.pretrained.weights import package, weights_file
from scam.synthesis.perceptual import PyramidDistance
from scam.synthesis.previews import learn_colours

THEMSELVES = "the pictures"
_SMALLEST_LPIPS = 32  # pixels; the trunks' poolings leave nothing of less


class PsnrMeter:
    """PSNR of all pixels, per image and per label, beside what flat colours reach.

    floors: knows the mean colours of the training images, unless ``unlearnt`` says why not.
    """

    def __init__(self, names: Sequence[str], floors: ColourFloors, unlearnt: str = "") -> None:
        self._names = names
        self._floors = floors
        self._unlearnt = unlearnt
        self._all, self._by_mean, self._by_own = Psnr(), Psnr(), Psnr()
        self._labels = LabelPsnr(len(names))
        self._count = 0

    def update(self, batch: Batch) -> None:
        """See :class:`~scam.evaluation.batches.Meter`."""
        self._all.update(batch.reconstruction, batch.image)
        self._labels.update(batch.reconstruction, batch.image, batch.labels)
        self._count += len(batch.image)
        image, labels = batch.image.cpu(), batch.labels.cpu()
        self._by_own.update(self._floors.in_own_colours(image, labels), image)
        if not self._unlearnt:
            self._by_mean.update(self._floors.in_mean_colours(labels), image)

    def rows(self) -> list[Row]:
        """See :class:`~scam.evaluation.batches.Meter`."""
        found = [
            self._row("reconstruction, pooled", self._all.pooled),
            self._row("reconstruction, mean of pictures", self._all.per_image),
        ]
        for label, name in enumerate(self._names):
            if self._labels.pictures(label):
                value, n = self._labels.of(label), self._labels.pictures(label)
                found.append(
                    label_row(
                        "psnr", name, value, n, unit="dB", against=THEMSELVES, better="higher"
                    )
                )
        what = "flat colours of train, pooled"
        if self._unlearnt:
            found.append(Row("psnr", what, None, note=self._unlearnt))
        else:
            found.append(self._row(what, self._by_mean.pooled, "a floor: mean per label"))
        own = self._by_own.pooled
        found.append(
            self._row("flat colours, pooled", own, "a floor: mean per label of each image")
        )
        return found

    def _row(self, what: str, value: float, note: str = "") -> Row:
        return Row("psnr", what, value, "dB", self._count, THEMSELVES, "higher", note)


class MeanMeter:
    """The mean over images of a number that compares each with its reconstruction."""

    def __init__(
        self, metric: str, better: str, note: str, compare: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        self._metric, self._better, self._note = metric, better, note
        self._compare = compare
        self._values: list[float] = []

    def update(self, batch: Batch) -> None:
        """See :class:`~scam.evaluation.batches.Meter`."""
        values = self._compare(batch.reconstruction, batch.image)
        self._values += values.cpu().double().flatten().tolist()

    def rows(self) -> list[Row]:
        """See :class:`~scam.evaluation.batches.Meter`."""
        count = len(self._values)
        value = sum(self._values) / count
        return [
            Row(
                self._metric, "reconstruction, mean of pictures", value, "", count, THEMSELVES,
                self._better, self._note,
            )
        ]  # fmt: skip


def psnr_meter(names: Sequence[str], train: Callable[[], PairDataset], workers: int) -> PsnrMeter:
    """PSNR, with colours learnt from the training images where there are any."""
    try:
        dataset = train()
    except InputError as error:
        return PsnrMeter(names, ColourFloors(len(names)), str(error))
    return PsnrMeter(names, learn_colours(dataset, workers))


def structural_similarity() -> Callable[[Tensor, Tensor], Tensor]:
    """SSIM (Wang et al., 2004) of each of two batches' images (B, 3, H, W) in [-1, 1] -> (B,).

    Through torchmetrics, else MissingError: Gaussian window of 11, sigma 1.5, colours.
    """
    similarity = package("torchmetrics.functional.image")

    def compare(result: Tensor, target: Tensor) -> Tensor:
        found: Tensor = similarity.structural_similarity_index_measure(
            result.float(), target.float(), data_range=2.0, reduction="none"
        )
        return found

    return compare


def ssim_meter() -> MeanMeter:
    """SSIM of reconstructions."""
    return MeanMeter("ssim", "higher", "", structural_similarity())


def lpips_meter(
    net: str, given: Path | None, size: tuple[int, int], device: torch.device
) -> MeanMeter:
    """LPIPS (Zhang et al., CVPR 2018) through package lpips."""
    weights = weights_file("lpips_weights", given, LPIPS_TRUNKS[net])
    if min(size) < _SMALLEST_LPIPS:
        raise MissingError(f"images are {sized(size)}, expected {_SMALLEST_LPIPS} a side or more")
    distance: nn.Module = lpips_distance(net, weights).to(device)
    return MeanMeter("lpips", "lower", f"trunk {net}", distance)


def pyramid_meter() -> MeanMeter:
    """The distance that ``--perceptual pyramid`` trains with, of each image."""
    distance = PyramidDistance()

    def compare(result: Tensor, target: Tensor) -> Tensor:
        pairs = zip(result.split(1), target.split(1), strict=True)
        return torch.stack([distance(generated, real) for generated, real in pairs])

    return MeanMeter("pyramid", "lower", "", compare)


def detail_meter() -> MeanMeter:
    """Mean difference between neighbouring pixels, of the reconstruction over the image's."""

    def roughness(x: Tensor) -> Tensor:
        down, across = (x.float().diff(dim=dim).abs().mean((1, 2, 3)) for dim in (2, 3))
        return down + across

    def compare(result: Tensor, target: Tensor) -> Tensor:
        return roughness(result) / roughness(target).clamp(min=1e-6)

    return MeanMeter("detail", "", "1: as sharp as the images", compare)
