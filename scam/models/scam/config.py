# SPDX-License-Identifier: Apache-2.0
"""What a SCAM model is: the numbers that fix its parameters, and the named presets."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

from scam.errors import InputError, sized
from scam.models.config import DATA_SETS, ModelConfig
from scam.models.recipes import PUBLISHED
from scam.settings.fields import setting

Fidelity = Literal["default", "released"]

MOST_PARAMETERS = 1 << 32
"""16 GiB in fp32; the largest network of the paper has a hundredth of them."""
_ABLATION = "ablation of the paper's Table 2; without it "


@dataclass(frozen=True)
class ScamConfig(ModelConfig):
    """Shapes and variant of one SCAM model.

    num_labels, size: see :class:`~scam.models.config.ModelConfig`.
    """

    kind: ClassVar[str] = "scam"
    later: ClassVar[Mapping[str, Any]] = {
        "encoder": "sat",
        "bounded": False,
        "encoder_width": 0,
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {
            "width": 16,
            "levels": 4,
            "token_dim": 64,
            "attention_dim": 64,
            "encoder_width": 16,
        }
    }

    width: int = setting(
        64, "feature channels at full resolution", least=16, most=1 << 14, step=16
    )
    """64 in the paper; the widths of all levels follow."""
    encoder_width: int = setting(
        0,
        "feature channels of the encoder at full resolution, doubled wherever it halves that; "
        "0: a quarter of --width",
        least=0, most=1 << 12, step=4,
    )  # fmt: skip
    """Always a quarter with ``fidelity="released"``."""
    levels: int = setting(6, "doublings of the generator", least=4, most=13)
    """The encoder reads levels + 1 sizes."""
    latents_per_label: int = setting(
        8, "latents of every label but 0", least=1, most=1 << 12, metavar="K"
    )
    background_latents: int = setting(8, "latents of label 0", least=1, most=1 << 12, metavar="K")
    token_dim: int = setting(256, "width of a latent", least=1, most=1 << 16, metavar="D")
    attention_dim: int = setting(
        256, "inner width of attentions", least=1, most=1 << 16, metavar="D"
    )
    heads: int = setting(
        1, "of every attention, a divisor of --attention-dim", least=1, most=1 << 10
    )
    fidelity: Fidelity = setting("default", "released: the published networks, quirks included")
    bounded: bool = setting(
        True,
        "attention over normalised features, with bounded scores; off: over raw features",
    )
    """Never with ``fidelity="released"``."""
    encoder: Literal["sat", "sean"] = setting(
        "sat", "sean: ablation of the paper's Table 2, SEAN's codes split into latents"
    )
    pyramid: bool = setting(True, _ABLATION + "every encoder block reads the raw pixels")
    self_attention: bool = setting(True, _ABLATION + "latents never read each other")
    duplex: bool = setting(True, _ABLATION + "latents never read the generator's pixels (simplex)")

    def __post_init__(self) -> None:
        super().__post_init__()
        smallest = 2 << self.levels if self.fidelity == "released" else 16
        if min(self.size) < smallest:
            raise InputError(
                f"{{size}}: expected at least {smallest} pixels a side for {{levels}}, "
                "{fidelity}",
                size=self.size, levels=self.levels, fidelity=self.fidelity,
            )  # fmt: skip
        if max(self.size) <= 1 << self.levels:
            most = (max(self.size) - 1).bit_length() - 1
            raise InputError(
                f"{{levels}}: halves {sized(self.size)} down to one pixel, "
                f"expected {f'at most {most} levels' if most >= 4 else 'more pixels'}",
                levels=self.levels,
            )
        if self.attention_dim % self.heads:
            raise InputError(
                "{heads}: expected a divisor of {attention_dim}",
                heads=self.heads, attention_dim=self.attention_dim,
            )  # fmt: skip
        if self.encoder == "sean":
            self._expect_split()
        self._expect_room()

    def _expect_split(self) -> None:
        """InputError for what SEAN's encoder does not have."""
        if self.background_latents != self.latents_per_label:
            raise InputError(
                "{background_latents}: expected as many as {latents_per_label} with {encoder}",
                background_latents=self.background_latents,
                latents_per_label=self.latents_per_label,
                encoder=self.encoder,
            )
        for name in ("pyramid", "self_attention"):
            if not getattr(self, name):
                raise InputError(
                    f"{{{name}}}: expected the encoder 'sat', not {{encoder}}",
                    **{name: False, "encoder": self.encoder},
                )

    def _expect_room(self) -> None:
        """InputError for networks or images that no machine holds: before they are made."""
        names = "width", "levels", "num_labels", "latents_per_label", "token_dim", "size"
        written = ", ".join(f"{{{name}}}" for name in names)
        for count, what in (
            (self.least_parameters, "parameters"),
            (self.least_numbers, "numbers for one image"),
        ):
            if count > MOST_PARAMETERS:
                raise InputError(
                    f"{written}: need {count:.1e} {what} or more, expected at most "
                    f"{MOST_PARAMETERS:.1e}",
                    **{name: getattr(self, name) for name in names},
                )

    @property
    def released(self) -> bool:
        """Whether the published networks are reproduced, quirks included."""
        return self.fidelity == "released"

    @property
    def bounds_scores(self) -> bool:
        """Whether attention is over normalised features, its scores bounded."""
        return self.bounded and not self.released

    @property
    def encoder_channels(self) -> list[int]:
        """Of the image and of the encoder's features at every level, fine to coarse."""
        base = self.width // 4 if self.released else self.encoder_width or self.width // 4
        return [3] + [base << level for level in range(1, self.levels + 1)]

    @property
    def recipe(self) -> Mapping[str, Any]:
        """See :class:`~scam.models.config.ModelConfig`."""
        return PUBLISHED if self.released else {}

    @property
    def least_parameters(self) -> int:
        """Those of convolutions, tokens and two projections an attention: never too many."""
        widest = self.width * 16
        widths = [widest] * (self.levels - 3) + [self.width * f for f in (8, 4, 2, 1)]
        read = self.encoder_channels[1:]
        convolutions = sum(9 * a * b for a, b in pairwise(read) if self.pyramid)
        convolutions += sum(9 * min(a, b) * (a + b) for a, b in pairwise(widths))
        projections = 2 * self.levels * self.token_dim * self.attention_dim
        tokens = 2 * self.num_tokens * self.token_dim
        return convolutions + projections + 9 * self.num_labels * widest + tokens

    @property
    def least_numbers(self) -> int:
        """Of one image: features and label planes at full resolution, tokens, their keys."""
        pixels = self.size[0] * self.size[1]
        tokens = self.num_tokens * (self.token_dim + 16 * self.width)
        return pixels * (self.width + self.num_labels) + tokens

    @property
    def num_tokens(self) -> int:
        """m: latents over all labels."""
        return self.background_latents + (self.num_labels - 1) * self.latents_per_label

    def token_labels(self) -> list[int]:
        """The label of every token: background first, then k for each further label."""
        rest = [i for i in range(1, self.num_labels) for _ in range(self.latents_per_label)]
        return [0] * self.background_latents + rest

    @property
    def facts(self) -> dict[str, Any]:
        """See :class:`~scam.models.config.ModelConfig`."""
        return {"fidelity": self.fidelity}

    @property
    def summary(self) -> str:
        """See :class:`~scam.models.config.ModelConfig`."""
        per_label = f"{self.latents_per_label} per label"
        if self.background_latents != self.latents_per_label:
            per_label += f" ({self.background_latents} for label 0)"
        return (
            f"Encodes an image and its label map to {self.num_tokens} latents of width\n"
            f"{self.token_dim}, {per_label}, and generates images from a label\nmap and such "
            "latents; latents mixed from two images transfer the subject."
        )


PRESETS = {name: ScamConfig.preset(name) for name in DATA_SETS}
"""By name, see ``scam train --preset``."""
