# SPDX-License-Identifier: Apache-2.0
"""Faces and hair."""

from dataclasses import dataclass

from scam.data.labels import LABEL_SETS
from scam.data.mannequins.canvas import Canvas, Surface
from scam.data.mannequins.chance import Chance
from scam.data.mannequins.colour import Colour, jitter, scaled
from scam.data.mannequins.pose import Build, Pose
from scam.data.mannequins.shapes import Outline, ellipse, limb, mirrored, placed, smooth
from scam.data.mannequins.texture import Texture

FACE = LABEL_SETS["mannequins"].names.index("face")
HAIR = LABEL_SETS["mannequins"].names.index("hair")

HAIR_COLOURS = (
    (34, 28, 30),
    (62, 42, 34),
    (98, 62, 40),
    (146, 92, 50),
    (214, 172, 96),
    (236, 208, 140),
    (168, 66, 36),
    (158, 154, 156),
    (226, 96, 140),
    (66, 106, 168),
)
SKIN_COLOURS = (
    (255, 222, 196),
    (244, 204, 170),
    (232, 184, 142),
    (212, 160, 116),
    (184, 128, 88),
    (150, 98, 64),
    (112, 72, 48),
    (84, 54, 38),
)
LIP_COLOURS = ((176, 60, 62), (150, 74, 66), (200, 84, 96))
EYE_WHITE = (246, 244, 240)
PUPIL = (36, 28, 30)
GLASSES = (30, 30, 36)

# Each style's hairline over the forehead; what hangs behind and beside the face is drawn by name.
HAIR_STYLES = {
    "short": "short",
    "fringe": "fringe",
    "parted": "parted",
    "shaved": "shaved",
    "spiky": "short",
    "bun": "short",
    "ponytail": "short",
    "afro": "short",
    "pigtails": "parted",
    "bob": "fringe",
    "long": "parted",
    "wavy": "parted",
}


@dataclass(frozen=True)
class Looks:
    """Skin, hair and face of a mannequin."""

    skin: Colour
    hair: Colour
    style: str
    lips: Colour
    glasses: bool

    @classmethod
    def sample(cls, chance: Chance) -> "Looks":
        """Draw a face."""
        return cls(
            skin=jitter(chance, chance.pick(SKIN_COLOURS), 6),
            hair=jitter(chance, chance.pick(HAIR_COLOURS), 8),
            style=chance.pick(tuple(HAIR_STYLES)),
            lips=chance.pick(LIP_COLOURS),
            glasses=chance.happens(0.15),
        )


class _Head:
    """Draws in head units: the skull has radius 1, y down, 0 in its middle."""

    def __init__(self, canvas: Canvas, build: Build, pose: Pose) -> None:
        self.canvas = canvas
        self.radius = build.head * pose.scale
        self.centre = pose.head
        tilt = pose.head - pose.neck
        self.down = -tilt / abs(tilt)
        self.turn = pose.face_turn

    def place(self, outline: Outline) -> Outline:
        return placed([self.radius * z for z in outline], self.centre, -1j * self.down)

    def hair(self, outline: Outline, colour: Colour) -> None:
        texture = Texture("pinstripes", colour, scaled(colour, 0.8), period=0.42 * self.radius)
        surface = Surface(
            texture, self.centre, self.down, 1.2 * self.radius, 2.4 * self.radius, 0.3, -0.25
        )
        self.canvas.fill(self.place(outline), surface, HAIR)

    def dot(self, centre: complex, rx: float, ry: float, colour: Colour) -> None:
        self.canvas.plain(self.place(ellipse(centre, rx, ry, points=12)), colour, FACE)


def draw_back_hair(canvas: Canvas, build: Build, pose: Pose, looks: Looks) -> None:
    """Draw the hair behind the body."""
    head = _Head(canvas, build, pose)
    style, dark = looks.style, scaled(looks.hair, 0.82)
    crown = [0.6 - 1j, 1 - 0.4j]
    if style == "bob":
        head.hair(smooth(mirrored([*crown, 1.12 + 0.9j])), dark)
    elif style == "long":
        head.hair(smooth(mirrored([*crown, 1.15 + 0.8j, 1 + 2.3j])), dark)
    elif style == "wavy":
        head.hair(smooth(mirrored([*crown, 1.15 + 0.8j, 1.3 + 1.9j])), dark)
    elif style == "bun":
        head.hair(ellipse(0.1 - 1.3j, 0.5, 0.45), dark)
    elif style == "ponytail":
        swing = 1 if head.turn < 0 else -1
        head.hair(limb(complex(0.8 * swing, -0.5), complex(1.5 * swing, 1.1), 0.42, 0.2), dark)
    elif style == "pigtails":
        for side in (-1, 1):
            head.hair(limb(complex(side, 0), complex(1.5 * side, 1.1), 0.42, 0.22), dark)
    elif style == "afro":
        head.hair(ellipse(-0.25j, 1.5, 1.4), looks.hair)


def draw_head(canvas: Canvas, build: Build, pose: Pose, looks: Looks) -> None:
    """Draw face, features and the hair in front."""
    head = _Head(canvas, build, pose)
    canvas.shade_figure(head.place(ellipse(0.55j, 0.7, 0.42)), 0.85)
    surface = Surface(
        Texture("plain", looks.skin),
        head.centre,
        head.down,
        width=head.radius,
        length=2 * head.radius,
        rounding=0.26,
        fade=-0.06,
    )
    for side in (-1, 1):
        ear = ellipse(complex(side * 0.9 + 0.1 * head.turn, 0.1), 0.17, 0.24, points=12)
        canvas.fill(head.place(ear), surface, FACE)
    jaw = [-1j, 0.72 - 0.72j, 0.92, 0.7 + 0.66j, 0.24 + 1.02j]
    skull = smooth([*jaw, *(complex(-z.real, z.imag) for z in reversed(jaw[1:]))])
    canvas.fill(head.place(skull), surface, FACE)
    _features(head, looks)
    _front_hair(head, looks)


def _features(head: _Head, looks: Looks) -> None:
    dx = head.turn
    red, green, blue = looks.skin
    for side in (-1, 1):
        x = 0.38 * side + dx
        head.dot(complex(x + 0.12 * side, 0.36), 0.2, 0.15, (red, 0.86 * green, 0.84 * blue))
        head.dot(complex(x, 0.06), 0.2, 0.17, EYE_WHITE)
        head.dot(complex(x + 0.12 * dx, 0.07), 0.13, 0.16, PUPIL)
        head.dot(complex(x, -0.2), 0.22, 0.055, scaled(looks.hair, 0.57))
        if looks.glasses:
            ring = ellipse(complex(x, 0.07), 0.33, 0.3)
            hole = ellipse(complex(x, 0.07), 0.24, 0.21)
            rim = head.place([*ring, ring[0], hole[0], *reversed(hole)])
            head.canvas.plain(rim, GLASSES, FACE)
    head.dot(complex(1.15 * dx, 0.34), 0.1, 0.13, (0.82 * red, 0.76 * green, 0.72 * blue))
    mouth = [-0.3 - 0.03j, 0.05j, 0.3 - 0.03j, 0.18j]
    smile = smooth([z + dx + 0.62j for z in mouth], 3)
    head.canvas.plain(head.place(smile), looks.lips, FACE)


def _front_hair(head: _Head, looks: Looks) -> None:
    dx = 0.5 * head.turn
    hairlines: dict[str, Outline] = {
        "short": [0.84 - 0.1j, 0.62 - 0.46j, dx - 0.56j, -0.62 - 0.46j, -0.84 - 0.1j],
        "fringe": [0.8 + 0j, 0.6 - 0.26j, dx - 0.3j, -0.6 - 0.26j, -0.8 + 0j],
        "parted": [0.86 + 0.1j, 0.7 - 0.24j, dx + 0.3 - 0.72j, -0.5 - 0.4j, -0.86 + 0.1j],
        "shaved": [0.9 - 0.3j, 0.6 - 0.64j, -0.72j, -0.6 - 0.64j, -0.9 - 0.3j],
    }
    rim = [-1.04 + 0.1j, -1.0 - 0.5j, -0.6 - 1.02j, -1.16j, 0.6 - 1.02j, 1.0 - 0.5j, 1.04 + 0.1j]
    head.hair(smooth([*rim, *hairlines[HAIR_STYLES[looks.style]]], 3), looks.hair)
    if looks.style == "spiky":
        for i in range(-2, 3):
            base = complex(0.4 * i, -0.9 + 0.07 * i * i)
            tip = complex(0.62 * i + 0.2, -1.5 + 0.12 * i * i)
            head.hair([base - 0.3, tip, base + 0.3], looks.hair)
    elif looks.style in ("bob", "long", "wavy"):
        low = {"bob": 0.9, "long": 2.1, "wavy": 1.6}[looks.style]
        for side in (-1, 1):
            start, end = complex(0.94 * side, -0.2), complex(1.02 * side, low)
            head.hair(limb(start, end, 0.17, 0.22), looks.hair)
