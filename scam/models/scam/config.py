# SPDX-License-Identifier: Apache-2.0
"""What a SCAM model is: the numbers that fix its parameters, and the named presets."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

from scam.errors import InputError
from scam.models.config import DATA_SETS, ModelConfig
from scam.settings.fields import bounded

Fidelity = Literal["default", "released"]

MOST_PARAMETERS = 1 << 32
"""16 GiB in fp32; the largest network of the paper has a hundredth of them."""


@dataclass(frozen=True)
class ScamConfig(ModelConfig):
    """Shapes and variant of one SCAM model.

    Attributes:
        num_labels: L, labels in a map; label 0 is the background.
        size: (H, W) in pixels.
        width: feature channels at full resolution; 64 in the paper, every other width follows.
        levels: times the generator doubles its resolution; the encoder reads levels + 1 sizes.
        latents_per_label: k.
        background_latents: k of label 0, which may differ.
        token_dim: d, width of one latent.
        attention_dim: inner width of every attention.
        heads: attention heads, a divisor of attention_dim.
        fidelity: "default", or "released" for the published networks with their quirks.
        pyramid: False lets every encoder block read the raw pixels (Table 2 of the paper).
        self_attention: False leaves out the encoder's latents-read-latents layers.
        duplex: False keeps tokens from reading the generator's pixels ("simplex").
    """

    kind: ClassVar[str] = "scam"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"width": 16, "levels": 4, "token_dim": 64, "attention_dim": 64}
    }

    width: int = bounded(64, least=16, most=1 << 14, step=16)
    levels: int = bounded(6, least=4, most=13)
    latents_per_label: int = bounded(8, least=1, most=1 << 12)
    background_latents: int = bounded(8, least=1, most=1 << 12)
    token_dim: int = bounded(256, least=1, most=1 << 16)
    attention_dim: int = bounded(256, least=1, most=1 << 16)
    heads: int = bounded(1, least=1, most=1 << 10)
    fidelity: Fidelity = "default"
    pyramid: bool = True
    self_attention: bool = True
    duplex: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        smallest = 2 << self.levels if self.fidelity == "released" else 16
        if min(self.size) < smallest:
            raise InputError(
                f"size={self.size[0]}x{self.size[1]}: expected at least {smallest} pixels a side"
                f" for levels={self.levels}, fidelity={self.fidelity!r}"
            )
        if max(self.size) <= 1 << self.levels:
            most = (max(self.size) - 1).bit_length() - 1
            raise InputError(
                f"levels={self.levels}: halves {self.size[0]}x{self.size[1]} down to one pixel, "
                f"expected {f'at most {most} levels' if most >= 4 else 'more pixels'}"
            )
        if self.attention_dim % self.heads:
            raise InputError(f"heads={self.heads}: expected a divisor of {self.attention_dim}")
        self._expect_room()

    def _expect_room(self) -> None:
        """InputError for networks or pictures that no machine holds: before they are made."""
        shapes = "width", "levels", "num_labels", "latents_per_label", "token_dim"
        written = ", ".join(f"{name}={getattr(self, name)}" for name in shapes)
        for count, what in (
            (self.least_parameters, "parameters"),
            (self.least_numbers, "numbers for one picture"),
        ):
            if count > MOST_PARAMETERS:
                raise InputError(
                    f"{written}, size={self.size[0]}x{self.size[1]}: need {count:.1e} {what} or "
                    f"more, expected at most {MOST_PARAMETERS:.1e}"
                )

    @property
    def released(self) -> bool:
        """Whether the published networks are reproduced, quirks included."""
        return self.fidelity == "released"

    @property
    def least_parameters(self) -> int:
        """Those of convolutions, tokens and two projections an attention: never too many."""
        widest = self.width * 16
        painted = [widest] * (self.levels - 3) + [self.width * f for f in (8, 4, 2, 1)]
        read = [self.width // 4 << level for level in range(1, self.levels + 1)]
        convolutions = sum(9 * a * b for a, b in pairwise(read) if self.pyramid)
        convolutions += sum(9 * min(a, b) * (a + b) for a, b in pairwise(painted))
        projections = 2 * self.levels * self.token_dim * self.attention_dim
        tokens = 2 * self.num_tokens * self.token_dim
        return convolutions + projections + 9 * self.num_labels * widest + tokens

    @property
    def least_numbers(self) -> int:
        """Of one picture: features and label planes at full resolution, tokens, their keys."""
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
        return (
            f"Encodes a picture and its label map to {self.num_tokens} latents of width\n"
            f"{self.token_dim}, {self.latents_per_label} per label ({self.background_latents} "
            "for label 0), and generates pictures from a label\nmap and such latents; latents "
            "mixed from two pictures transfer the subject."
        )


PRESETS = {name: ScamConfig.preset(name) for name in DATA_SETS}
