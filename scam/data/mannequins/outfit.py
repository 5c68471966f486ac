# SPDX-License-Identifier: Apache-2.0
"""Clothes of a mannequin."""

from dataclasses import dataclass, replace

from scam.data.mannequins.chance import Chance
from scam.data.mannequins.colour import JEANS, Colour, jitter
from scam.data.mannequins.texture import Texture, sample_cloth

SHOES = (
    (40, 36, 38),
    (92, 58, 40),
    (226, 222, 216),
    (176, 52, 48),
    (58, 76, 120),
    (226, 180, 80),
)
# Sleeve and trouser lengths: how much of the (upper, lower) half of the limb is covered.
SLEEVES = {"none": (0, 0), "short": (0.62, 0), "half": (1, 0.25), "long": (1, 0.86)}
TROUSERS = {"shorts": (0.72, 0), "knee": (1, 0.18), "long": (1, 0.88)}


@dataclass(frozen=True)
class Outfit:
    """Clothes: their cut and their cloth."""

    upper: Texture
    sleeves: str
    neckline: float
    hem: float
    lower: Texture
    lower_kind: str
    skirt: tuple[float, float]
    shoes: Colour
    boots: bool

    @classmethod
    def sample(cls, chance: Chance, scale: float) -> "Outfit":
        """Draw clothes for a wearer ``scale`` image heights tall."""
        upper = sample_cloth(chance, scale)
        lower_kind = chance.pick(("shorts", "knee", "long", "long", "long", "skirt", "skirt"))
        lower = sample_cloth(chance, scale)
        if lower_kind != "skirt" and chance.happens(0.45):
            lower = Texture("plain", jitter(chance, chance.pick(JEANS)))
        if chance.happens(0.15):
            lower = upper
        return cls(
            upper=upper,
            sleeves=chance.pick(tuple(SLEEVES)),
            neckline=chance.between(0.015, 0.06),
            hem=chance.between(-0.01, 0.06),
            lower=lower,
            lower_kind=lower_kind,
            skirt=(chance.between(0.15, 0.36), chance.between(1.15, 2.0)),
            shoes=jitter(chance, chance.pick(SHOES)),
            boots=chance.happens(0.25),
        )

    def in_cloth_of(self, other: "Outfit", growth: float) -> "Outfit":
        """This cut in the other's cloth and leather, patterns ``growth`` times as large."""
        upper, lower = (
            replace(cloth, period=growth * cloth.period) for cloth in (other.upper, other.lower)
        )
        return replace(self, upper=upper, lower=lower, shoes=other.shoes)
