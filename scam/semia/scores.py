# SPDX-License-Identifier: Apache-2.0
"""The scores of results: do they show their layout, and does all of them look like the source?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from scam.data.convert import to_uint8
from scam.errors import InputError, MissingError
from scam.evaluation.quality import structural_similarity
from scam.evaluation.rows import Row
from scam.metrics import FeatureMoments, FeatureStatistics, Psnr, frechet_distance
from scam.pretrained.features import InceptionStem
from scam.pretrained.full_precision import full_precision
from scam.pretrained.published import INCEPTION
from scam.pretrained.weights import weights_file
from scam.semia.judge import Judge, layout_scores
from scam.semia.patch_distance import expect_pair, patch_distance

METRICS = {
    "accuracy": "share of pixels in which the judge sees the layout's label",
    "miou": "the same as intersection over union, mean of the labels that occur",
    "coherence": "mean square from patches to the source's nearest of the same label",
    "completeness": "mean square from the source's patches to the nearest of the same label",
    "detail": "differences of neighbours where the label map is changed, over the source's",
    "unedited": "mean absolute difference from the source where the label map is unchanged",
    "psnr": "PSNR under the source's own label map",
    "ssim": "SSIM under the source's own label map",
    "sifid": "Frechet distance of Inception's first features over pixels",
}
"""What is measured of a result; all but PSNR and SSIM under any layout."""

_SMALLEST = 16  # pixels; windows of SSIM and Inception's first layers leave nothing of less
_CHANGED = "the label map is changed"


class Scorer:
    """Measures results of one source.

    Args:
        source_image: (1, 3, H, W) in [-1, 1].
        source_labels: int64 (1, H, W), below 0 for none.
        judge: trained on the source.
        inception_weights: torch-fidelity's file; None: where torch.hub keeps it. Without it
            there is no SIFID.

    Raises:
        InputError: shapes do not fit, a side is below 16 pixels, or the file given is unusable.
    """

    def __init__(
        self,
        source_image: Tensor,
        source_labels: Tensor,
        judge: Judge,
        inception_weights: Path | None = None,
    ) -> None:
        _expect_result(source_image, source_labels)
        self._image, self._labels, self._judge = source_image, source_labels, judge
        try:
            weights = weights_file("inception_weights", inception_weights, INCEPTION)
            self._stem = InceptionStem(weights).eval().to(source_image.device)
            self._features = self._statistics(source_image)
            self._missing: MissingError | None = None
        except MissingError as reason:
            self._missing = reason

    def rows(self, name: str, image: Tensor, labels: Tensor) -> list[Row]:
        """All METRICS of the result ``name``, in order, with reasons for those without a value.

        image (1, 3, h, w) in [-1, 1] and its layout (1, h, w), of the source's or another size.
        InputError where they do not fit together, or share no patch of a label with the source.
        """
        _expect_result(image, labels)
        layout = layout_scores(self._judge, image, labels)
        patches = patch_distance(image, labels, self._image, self._labels)
        absent = ", ".join(map(str, patches.absent))
        without = f"without labels {absent}: patches in one image at most" if absent else ""
        return [
            Row("accuracy", name, layout.accuracy, better="higher"),
            Row("miou", name, layout.mean_iou, better="higher"),
            Row("coherence", name, patches.coherence, better="lower", note=without),
            Row("completeness", name, patches.completeness, better="lower", note=without),
            self._detail(name, image, labels),
            self._unedited(name, image, labels),
            *self._reconstruction(name, image, labels),
            self._sifid(name, image),
        ]

    def ceilings(self) -> list[Row]:
        """What the judge itself reaches: on augmentations not trained on, and on the source."""
        seen = {
            "augmented source, held out": self._judge.held_out,
            "source": self._judge.source,
        }
        return [
            Row(metric, what, value, better="higher", note="a ceiling")
            for what, scores in seen.items()
            for metric, value in (("accuracy", scores.accuracy), ("miou", scores.mean_iou))
        ]

    def facts(self) -> dict[str, Any]:
        """For the report: the judge's scores, label by label."""
        judge = self._judge
        return {"judge": {"held_out": asdict(judge.held_out), "source": asdict(judge.source)}}

    def _detail(self, name: str, image: Tensor, labels: Tensor) -> Row:
        """Blur that the patch distances reward: 1 is as rough as the source's same labels."""
        here, there = _roughness(image, labels), _roughness(self._image, self._labels)
        edited = torch.ones_like(labels, dtype=torch.bool)
        if labels.shape == self._labels.shape:
            edited = labels != self._labels
        found = wanted = 0.0
        for label in torch.unique(labels[edited]).tolist():
            own = here[edited & (labels == label)]
            known = own.isfinite()
            source = there[self._labels == label].nanmean()
            if known.any() and source.isfinite():
                found += float(own[known].sum())
                wanted += float(source * known.sum())
        if wanted == 0:
            return Row("detail", name, None, note="no label is changed")
        return Row("detail", name, found / wanted, against="1")

    def _unedited(self, name: str, image: Tensor, labels: Tensor) -> Row:
        if labels.shape != self._labels.shape:
            return Row("unedited", name, None, note="the size is changed")
        same = labels == self._labels
        if not same.any():
            return Row("unedited", name, None, note="every label is changed")
        error = (image - self._image).abs().mean(1)[same].double().mean()
        note = f"{float(same.double().mean()):.0%} of pixels"
        return Row("unedited", name, float(error), better="lower", note=note)

    def _reconstruction(self, name: str, image: Tensor, labels: Tensor) -> list[Row]:
        if not torch.equal(labels, self._labels):
            return [Row(metric, name, None, note=_CHANGED) for metric in ("psnr", "ssim")]
        psnr = Psnr()
        psnr.update(image, self._image)
        found = Row("psnr", name, psnr.pooled, "dB", better="higher")
        try:
            similarity = float(structural_similarity()(image, self._image))
        except MissingError as reason:
            return [found, Row("ssim", name, None, note=str(reason), lack=reason.lack)]
        return [found, Row("ssim", name, similarity, better="higher")]

    def _sifid(self, name: str, image: Tensor) -> Row:
        if self._missing:
            reason = self._missing
            return Row("sifid", name, None, note=str(reason), lack=reason.lack)
        value = frechet_distance(self._statistics(image), self._features)
        return Row("sifid", name, value, better="lower")

    @torch.no_grad()
    def _statistics(self, image: Tensor) -> FeatureStatistics:
        """Of the pixels' features."""
        with full_precision():
            features = self._stem(to_uint8(image))[0].flatten(1).T
        moments = FeatureMoments(len(features))
        moments.update(features)
        return moments.finish()


def means(rows: Sequence[Row]) -> list[Row]:
    """Of every metric the mean over results that have it, with their number."""
    found = []
    for metric in METRICS:
        known = [row for row in rows if row.metric == metric and row.value is not None]
        if known:
            value = fmean(row.value for row in known if row.value is not None)
            unit, better = known[0].unit, known[0].better
            found.append(Row(metric, "mean", value, unit, len(known), better=better))
    return found


def side_by_side(rows: Mapping[str, Sequence[Row]]) -> str:
    """Means over results: a line for each metric, a column for each method."""
    found = {method: {row.metric: row.value for row in means(own)} for method, own in rows.items()}
    lines = [["", *rows, ""]]
    for metric, about in METRICS.items():
        values = [own.get(metric) for own in found.values()]
        lines.append([metric, *("-" if x is None else f"{x:.4g}" for x in values), about])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _roughness(image: Tensor, labels: Tensor) -> Tensor:
    """Mean difference of a pixel and its neighbours to the right and below, as far as these have
    its label, else nan: image (1, 3, h, w), labels (1, h, w) -> (1, h, w).
    """
    both = []
    for dim in (1, 2):
        height, width = labels.shape[1] - (dim == 1), labels.shape[2] - (dim == 2)
        differs = image.double().diff(dim=dim + 1).abs().mean(1)
        differs = differs.masked_fill(labels.diff(dim=dim) != 0, torch.nan)
        padded = differs.new_full(labels.shape, torch.nan)
        padded[:, :height, :width] = differs
        both.append(padded)
    return torch.stack(both).nanmean(0)


def _expect_result(image: Tensor, labels: Tensor) -> None:
    expect_pair(image, labels)
    if min(labels.shape[1:]) < _SMALLEST:
        message = f"{{image}}: expected {_SMALLEST} pixels a side or more"
        raise InputError(message, image=tuple(image.shape))
