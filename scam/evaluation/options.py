# SPDX-License-Identifier: Apache-2.0
"""What to measure, on which images, through which networks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scam.data.fit import Fit
from scam.data.options import DataOptions
from scam.errors import NAMED, InputError, did_you_mean
from scam.pretrained.published import DINOV2, INCEPTION, LPIPS_TRUNKS, PERSON
from scam.settings.fields import Checked, like, setting

METRICS = {
    "psnr": "PSNR of reconstructions: pooled, per image, per label, and of flat colours",
    "ssim": "SSIM of reconstructions",
    "lpips": "LPIPS of reconstructions",
    "pyramid": "multi-scale difference of reconstructions: images and their gradients",
    "detail": "fine detail of reconstructions over that of the images: 1 is as sharp",
    "fid": "R-FID and S-FID, against training images and held-out ones",
    "kid": "kernel distances of the same sets, unbiased for any number of images",
    "fd": "Frechet distances in DINOv2 features, or those of --extractor",
    "reid": "REIDSim and REIDAcc: is the donor's subject still that person?",
    "locality": "changes outside a label that was edited alone, with and without paste-back",
    "cycle": "a subject transferred to another image and back",
    "transfer": "PSNR of transferred subjects against mannequins drawn for it",
    "influence": "changes inside and outside the subject when the donor changes",
    "maps": "reconstruction with slightly wrong label maps",
    "cost": "milliseconds and memory of one edit",
}
"""What each metric measures, by its name."""
_DATA = "data (default: the run's)"
_NETWORKS = "networks behind metrics (never downloaded)"


@dataclass(frozen=True)
class EvaluationOptions(Checked):
    """One field for each argument of ``python -m scam.evaluate``.

    None is what that command does without the flag: the run's data, a GPU if there is one,
    weights from torch's cache, statistics kept in the user's cache folder.

    Raises:
        InputError: an unknown metric, a number that is too small, or two networks for ``fd``.
    """

    checkpoint: str | Path = setting(flag=False)
    metrics: tuple[str, ...] = setting(
        tuple(METRICS),
        "some of those listed below",
        metavar="NAME,...",
        default_help="default: all",
    )
    seed: int = setting(0, "random seed of pairs and edits", least=0, below=1 << 31)
    noise_seeds: int = setting(
        1, "average over N draws of noise, where the model needs any",
        least=1, most=1 << 10, metavar="N",
    )  # fmt: skip
    pairs: Path | None = setting(
        None, "pairs.json of an earlier evaluation, to measure the same pairs", metavar="FILE"
    )
    batch_size: int = setting(8, "images at a time", least=1, most=1 << 16)
    workers: int = setting(
        4, "processes that read images, at most one per processor", least=0, most=1 << 12
    )
    device: str | None = setting(
        None, "cpu, cuda, cuda:1", default_help="default: cuda if there is one"
    )
    refine: int = setting(
        0, "gradient steps that fit the latents to their image, as in scam.transfer",
        least=0, most=10**6, metavar="STEPS",
    )  # fmt: skip
    last_weights: bool = setting(False, "use the last step's weights, not their average")
    background_labels: tuple[str, ...] = setting(
        ("0",), "labels or groups that belong to the scene, by name or number", metavar="LABEL"
    )

    data: str | None = like(DataOptions, "data", default=None, heading=_DATA)
    split: Literal["train", "val", "test"] | None = setting(
        None, "split of the data", default_help="default: test where there is one, else val",
        heading=_DATA,
    )  # fmt: skip
    labels: str | None = like(DataOptions, "labels", default=None, heading=_DATA)
    merge: str | None = like(DataOptions, "merge", heading=_DATA)
    ignore_label: int | None = like(DataOptions, "ignore_label", heading=_DATA)
    label_set: str | None = like(DataOptions, "label_set", heading=_DATA)
    fit: Fit | None = like(
        DataOptions, "fit", default=None, default_help="default: as in training", heading=_DATA
    )
    holdout: int | None = like(
        DataOptions,
        "holdout",
        help="with other --data: number of images to measure on",
        heading=_DATA,
    )
    max_pictures: int | None = setting(
        None,
        "measure on N images, spread evenly",
        least=2,
        below=1 << 31,
        metavar="N",
        default_help="default: all",
        heading=_DATA,
    )
    reference_pictures: int | None = setting(
        None,
        "compare with N training images",
        least=2,
        below=1 << 31,
        metavar="N",
        default_help="default: all",
        heading=_DATA,
    )

    inception_weights: Path | None = setting(
        None, f"for fid, kid (default: {INCEPTION} in torch's cache)",
        metavar="FILE", heading=_NETWORKS,
    )  # fmt: skip
    lpips_trunk: Literal["alex", "vgg"] = setting("alex", "network for lpips", heading=_NETWORKS)
    lpips_weights: Path | None = setting(
        None, f"for lpips (default: {LPIPS_TRUNKS['alex']} in torch's cache)",
        metavar="FILE", heading=_NETWORKS,
    )  # fmt: skip
    dinov2_weights: Path | None = setting(
        None, f"for fd (default: {DINOV2} in torch's cache)", metavar="FILE", heading=_NETWORKS
    )
    extractor: str | None = setting(
        None, "for fd in place of DINOv2: returns a network, uint8 (B, 3, H, W) to (B, D)",
        metavar="MODULE:FUNCTION", heading=_NETWORKS,
    )  # fmt: skip
    reid_weights: Path | None = setting(
        None, f"for reid: person ResNet-50 (default: {PERSON} in torch's cache)",
        metavar="FILE", heading=_NETWORKS,
    )  # fmt: skip
    cache: Path | None = setting(
        None, "where feature statistics of real images are kept (default: ~/.cache/scam)",
        metavar="DIR", heading=_NETWORKS,
    )  # fmt: skip

    @property
    def networks(self) -> dict[str, str | Path]:
        """What was given of the networks to measure with, by setting."""
        chosen = {
            name: getattr(self, name)
            for name, what in self.settings().items()
            if what.heading == _NETWORKS and name != "cache"
        }
        return {name: value for name, value in chosen.items() if value}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.metrics:
            if name not in METRICS:
                message = f"{{metrics}}: expected some of {','.join(METRICS)}"
                raise InputError(message + did_you_mean(name, METRICS), metrics=name)
        if self.extractor is not None and self.dinov2_weights is not None:
            raise InputError(
                "{extractor}, {dinov2_weights}: give one of the two",
                extractor=NAMED,
                dinov2_weights=NAMED,
            )
