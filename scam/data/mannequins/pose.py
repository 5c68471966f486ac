# SPDX-License-Identifier: Apache-2.0
"""Where the joints of a mannequin are."""

from dataclasses import dataclass

from scam.data.mannequins.chance import Chance
from scam.data.mannequins.shapes import direction

Angles = tuple[float, float]

# Degrees from hanging straight down, outwards positive: (upper arm, forearm), each +- the spread.
ARMS: dict[str, tuple[Angles, Angles]] = {
    "hanging": ((10, 6), (8, 10)),
    "pocket": ((24, -14), (5, 6)),
    "hip": ((48, -42), (6, 6)),
    "belly": ((24, -72), (8, 10)),
    "aside": ((48, 40), (16, 20)),
    "stretched": ((86, 88), (10, 12)),
    "waving": ((104, 168), (14, 14)),
    "up": ((152, 168), (12, 12)),
    "flexed": ((84, 160), (8, 14)),
    "phone": ((30, 158), (6, 6)),
}
# (thigh, shin) of the first leg and of the second.
LEGS: dict[str, tuple[Angles, Angles]] = {
    "standing": ((4, 3), (4, 3)),
    "wide": ((15, 13), (15, 13)),
    "resting": ((3, 2), (14, 6)),
    "walking": ((17, 10), (14, -10)),
    "stepping": ((5, 3), (40, -6)),
    "crossed": ((3, 3), (2, -10)),
    "lunge": ((30, 0), (24, 26)),
}


@dataclass(frozen=True)
class Build:
    """Proportions, in body heights."""

    head: float
    shoulder: float
    hip: float
    thick: float
    waist: float

    @classmethod
    def sample(cls, chance: Chance) -> "Build":
        """Draw a body: slight to broad, adult to childlike."""
        thick = chance.around(1.0, 0.25)
        return cls(
            head=chance.around(0.088, 0.01),
            shoulder=chance.around(0.102, 0.014) * (0.8 + 0.2 * thick),
            hip=chance.around(0.074, 0.012) * (0.75 + 0.25 * thick),
            thick=thick,
            waist=chance.between(0.78, 1.02),
        )


@dataclass(frozen=True)
class Pose:
    """Joints in image coordinates; pairs are (image right = person's left, image left).

    up: unit vector from the hips to the neck. scale: body height in image heights.
    """

    scale: float
    up: complex
    hips: complex
    neck: complex
    head: complex
    face_turn: float
    shoulders: tuple[complex, complex]
    elbows: tuple[complex, complex]
    hands: tuple[complex, complex]
    thighs: tuple[complex, complex]
    knees: tuple[complex, complex]
    ankles: tuple[complex, complex]


def _swing(chance: Chance, angles: Angles, spread: Angles) -> Angles:
    return chance.around(angles[0], spread[0]), chance.around(angles[1], spread[1])


def sample_pose(chance: Chance, build: Build, place: complex, scale: float) -> Pose:
    """Draw a pose whose lower foot stands at ``place``."""
    names = tuple(ARMS)
    first = chance.pick(names)
    second = first if chance.happens(0.4) else chance.pick(names)
    arms = [_swing(chance, *ARMS[name]) for name in (first, second)]
    legs = [_swing(chance, angles, (3, 3)) for angles in LEGS[chance.pick(tuple(LEGS))]]
    if chance.happens(0.5):
        legs.reverse()

    up = -direction(chance.around(0, 7))
    right = 1j * up
    neck = 0.31 * up
    head = neck + (0.03 + build.head) * -direction(chance.around(0, 12))
    sides = (1, -1)
    tilt = chance.around(0, 0.012)
    shoulders = [neck - 0.03 * up + s * (build.shoulder * right + tilt * up) for s in sides]
    reach = (0.145, 0.135)
    elbows = [shoulders[i] + reach[0] * direction(sides[i] * arms[i][0]) for i in (0, 1)]
    hands = [elbows[i] + reach[1] * direction(sides[i] * arms[i][1]) for i in (0, 1)]
    thighs = [s * build.hip * 0.62 * right for s in sides]
    knees = [thighs[i] + 0.235 * direction(sides[i] * legs[i][0]) for i in (0, 1)]
    ankles = [knees[i] + 0.22 * direction(sides[i] * legs[i][1]) for i in (0, 1)]

    ground = max(z.imag for z in ankles) + 0.02
    middle = (ankles[0].real + ankles[1].real) / 4

    def put(z: complex) -> complex:
        return place + scale * (z - complex(middle, ground))

    def both(pair: list[complex]) -> tuple[complex, complex]:
        return put(pair[0]), put(pair[1])

    return Pose(
        scale=scale,
        up=up,
        hips=put(0),
        neck=put(neck),
        head=put(head),
        face_turn=chance.around(0, 0.3),
        shoulders=both(shoulders),
        elbows=both(elbows),
        hands=both(hands),
        thighs=both(thighs),
        knees=both(knees),
        ankles=both(ankles),
    )
