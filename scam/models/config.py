# SPDX-License-Identifier: Apache-2.0
"""What a model is: the numbers that fix its parameters, and the named presets."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from scam.errors import InputError

Fidelity = Literal["default", "released"]


@dataclass(frozen=True)
class ModelConfig:
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

    num_labels: int
    size: tuple[int, int] = (256, 256)
    width: int = 64
    levels: int = 6
    latents_per_label: int = 8
    background_latents: int = 8
    token_dim: int = 256
    attention_dim: int = 256
    heads: int = 1
    fidelity: Fidelity = "default"
    pyramid: bool = True
    self_attention: bool = True
    duplex: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if len(self.size) != 2:
            raise InputError(f"size={list(self.size)}: expected height and width")
        counts = ("num_labels", "latents_per_label", "background_latents", "heads")
        for name in (*counts, "token_dim", "attention_dim"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)}: expected at least 1")
        if self.width < 16 or self.width % 16:
            raise InputError(f"width={self.width}: expected a multiple of 16")
        if self.levels < 4:
            raise InputError(f"levels={self.levels}: expected at least 4")
        if self.fidelity not in ("default", "released"):
            raise InputError(f"fidelity={self.fidelity!r}: expected 'default' or 'released'")
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

    @property
    def released(self) -> bool:
        """Whether the published networks are reproduced, quirks included."""
        return self.fidelity == "released"

    @property
    def num_tokens(self) -> int:
        """m: latents over all labels."""
        return self.background_latents + (self.num_labels - 1) * self.latents_per_label

    def token_labels(self) -> list[int]:
        """The label of every token: background first, then k for each further label."""
        rest = [i for i in range(1, self.num_labels) for _ in range(self.latents_per_label)]
        return [0] * self.background_latents + rest

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "size": list(self.size)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelConfig":
        """Inverse of :meth:`as_dict`; an unknown or missing key raises InputError."""
        known = {field.name for field in fields(cls)}
        for key in values:
            if key not in known:
                raise InputError(f"model config: {key!r} is not one of {', '.join(sorted(known))}")
        try:
            return cls(**{**values, "size": tuple(values["size"])})
        except (KeyError, TypeError) as error:
            raise InputError(f"model config: not usable ({error})") from error


PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig(3, (96, 64), width=16, levels=4, token_dim=64, attention_dim=64),
    "idesigner": ModelConfig(3, (256, 170)),
    "celebamask-hq": ModelConfig(19, (256, 256)),
    "ade20k": ModelConfig(151, (256, 256)),
}
"""Shapes of the paper's three data sets, and one that trains on a laptop in minutes."""


def preset(name: str, **changes: Any) -> ModelConfig:
    """The named preset with some fields replaced."""
    if name not in PRESETS:
        raise InputError(f"preset {name!r}: expected one of {', '.join(PRESETS)}")
    return replace(PRESETS[name], **changes)
