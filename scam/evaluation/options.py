# SPDX-License-Identifier: Apache-2.0
"""What to measure, on which pictures, through which networks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scam.data.labels import NUM_VALUES
from scam.errors import NAMED, InputError
from scam.settings.fields import Checked, bounded

METRICS = {
    "psnr": "PSNR of reconstructions: pooled, per picture, per label, and of flat colours",
    "ssim": "SSIM of reconstructions",
    "lpips": "LPIPS of reconstructions",
    "pyramid": "multi-scale difference of reconstructions: pictures and their gradients",
    "detail": "fine detail of reconstructions over that of the pictures: 1 is as sharp",
    "fid": "R-FID and S-FID, against training pictures and those measured on",
    "kid": "kernel distances of the same sets, unbiased however few pictures",
    "fd": "Frechet distances by another network: DINOv2, or --extractor",
    "reid": "REIDSim and REIDAcc: is the donor's subject still that person?",
    "locality": "changes outside a label that was edited alone, with and without paste-back",
    "cycle": "a subject sent to another picture and back",
    "maps": "reconstruction with label maps that are a bit off",
    "cost": "milliseconds and memory of one edit",
}


@dataclass(frozen=True)
class EvaluationOptions(Checked):
    """One field for each argument of ``python -m scam.evaluate``, which explains them.

    None is what that command does without the flag: the run's data, a GPU if there is one,
    weights from torch's cache, statistics kept in the user's cache folder.

    Raises:
        InputError: an unknown metric, a number that is too small, or two networks for ``fd``.
    """

    checkpoint: str | Path
    metrics: tuple[str, ...] = tuple(METRICS)
    seed: int = bounded(0, least=0, below=1 << 31)
    pairs: Path | None = None
    batch_size: int = bounded(8, least=1, most=1 << 16)
    workers: int = bounded(4, least=0, most=1 << 12)
    device: str | None = None
    last_weights: bool = False
    background_labels: tuple[str, ...] = ("0",)

    data: str | None = None
    split: Literal["test", "val"] | None = None
    labels: str | None = None
    merge: str | None = None
    ignore_label: int | None = bounded(None, least=0, below=NUM_VALUES)
    label_set: str | None = None
    holdout: int | None = bounded(None, least=1, below=1 << 31)
    max_pictures: int | None = bounded(None, least=2, below=1 << 31)
    reference_pictures: int | None = bounded(None, least=2, below=1 << 31)

    inception_weights: Path | None = None
    lpips_trunk: Literal["alex", "vgg"] = "alex"
    lpips_weights: Path | None = None
    dinov2_weights: Path | None = None
    extractor: str | None = None
    reid_weights: Path | None = None
    cache: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.metrics:
            if name not in METRICS:
                raise InputError(
                    f"{{metrics}}: expected some of {','.join(METRICS)}", metrics=name
                )
        if self.extractor is not None and self.dinov2_weights is not None:
            raise InputError(
                "{extractor}, {dinov2_weights}: give one of the two",
                extractor=NAMED,
                dinov2_weights=NAMED,
            )
