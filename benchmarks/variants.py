# SPDX-License-Identifier: Apache-2.0
"""What ``compare.py`` compares: flags of each variant, and the numbers of its table."""

from dataclasses import dataclass

from scam.evaluation.distribution import PAINTINGS


@dataclass(frozen=True)
class Column:
    """A number in the report of ``python -m scam.evaluate``.

    against: how its reference begins, where there are several.
    """

    metric: str
    what: str
    against: str = ""


@dataclass(frozen=True)
class Comparison:
    """variants: the flags of each. columns: what is measured of each."""

    variants: dict[str, list[str]]
    columns: dict[str, Column]


_QUALITY = {
    "PSNR": Column("psnr", "reconstruction, pooled"),
    "SSIM": Column("ssim", "reconstruction, mean of pictures"),
    "LPIPS": Column("lpips", "reconstruction, mean of pictures"),
    "pyramid": Column("pyramid", "reconstruction, mean of pictures"),
    "detail": Column("detail", "reconstruction, mean of pictures"),
}
_KINDS = "color,translation,cutout"
_OASIS = ["--discriminator", "oasis", "--lr-discriminator", "4e-4"]
_LABELMIX = [*_OASIS, "--labelmix", "10"]

SMALL_DATA = Comparison(
    {
        "base": [],
        "no_gan": ["--gan", "0"],
        "diffaugment": ["--diffaugment", _KINDS],
        "translation_cutout": ["--diffaugment", "translation,cutout"],
        "lecam": ["--lecam", "0.3"],
        "diffaugment_lecam": ["--diffaugment", _KINDS, "--lecam", "0.3"],
        "oasis": _OASIS,
        "oasis_labelmix": _LABELMIX,
        "oasis_labelmix_diffaugment": [*_LABELMIX, "--diffaugment", _KINDS],
        "style_dropout": ["--style-dropout", "0.1"],
        "relativistic": ["--gan-loss", "relativistic"],
        "relativistic_r1_r2": [
            *("--gan-loss", "relativistic", "--no-gradient-norm", "--r1", "0.1", "--r2", "0.1"),
        ],
        "augment_perceptual": ["--augment-perceptual", "translation,cutout"],
    },
    {
        **_QUALITY,
        "leak": Column("locality", "change outside it"),
        "cycle": Column("cycle", "A to B to A, pooled"),
    },
)


def _latents(count: int, of_background: int | None = None) -> list[str]:
    background = count if of_background is None else of_background
    return ["--latents-per-label", str(count), "--background-latents", str(background)]


ABLATIONS = Comparison(
    {
        "full": [],
        "no_pyramid": ["--no-pyramid"],
        "no_self_attention": ["--no-self-attention"],
        "simplex": ["--no-duplex"],
        "no_gan": ["--gan", "0"],
        "no_l1": ["--l1", "0"],
        "no_perceptual": ["--perceptual", "none"],
        "k4": _latents(4),
        "k16": _latents(16),
        "k32": _latents(32),
        "k8_background16": _latents(8, of_background=16),
    },
    {
        **_QUALITY,
        "R-FID": Column("fid", PAINTINGS["reconstruction"], "train"),
        "S-FID": Column("fid", PAINTINGS["swap"], "val"),
        "ms/transfer": Column("cost", "transfer: two encoded, one painted"),
    },
)

COMPARISONS = {"ablations": ABLATIONS, "small-data": SMALL_DATA}
