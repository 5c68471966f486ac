# SPDX-License-Identifier: Apache-2.0
"""One person in one place: what chance decides, and how it is drawn."""

from dataclasses import dataclass, replace

from scam.data.arrays import Image, LabelMap
from scam.data.mannequins.canvas import Canvas
from scam.data.mannequins.chance import Chance
from scam.data.mannequins.figure import Figure
from scam.data.mannequins.head import Looks
from scam.data.mannequins.outfit import Outfit
from scam.data.mannequins.pose import Build, sample_pose
from scam.data.mannequins.scene import draw_scene


@dataclass(frozen=True)
class Portrait:
    """A figure and its surroundings.

    scenery: key of the scene. light: -1 from the right .. 1 from the left. horizon: height at
    which the floor begins, 0 .. 1 from the top.
    """

    scenery: str
    light: float
    horizon: float
    figure: Figure

    @classmethod
    def sample(cls, key: str, aspect: float) -> "Portrait":
        """Choose everything from one key; aspect: width over height of the image."""
        # Two streams: a wider scene draws more numbers, and must not change who stands in it.
        chance = Chance(key)
        light, horizon = chance.between(-1, 1), chance.between(0.62, 0.8)
        # Narrow images hold smaller people; 2 : 3 is the portrait format they are made for.
        scale = min(1.0, aspect * 1.5) * chance.between(0.66, 0.86)
        foot = min(0.97, max(horizon + 0.08, scale + chance.between(0.06, 0.12)))
        build = Build.sample(chance)
        pose = sample_pose(chance, build, complex(chance.around(0, 0.1) * aspect, foot), scale)
        looks, outfit = Looks.sample(chance), Outfit.sample(chance, scale)
        return cls(f"{key}/scene", light, horizon, Figure(build, pose, looks, outfit))

    def draw(self, size: tuple[int, int]) -> tuple[Image, LabelMap]:
        """Picture uint8 (H, W, 3) and labels int32 (H, W) at ``size``."""
        fine = 3 if size[0] * size[1] <= 1 << 16 else 2
        canvas = Canvas(size, self.light, fine)
        draw_scene(canvas, Chance(self.scenery), self.horizon)
        self.figure.draw(canvas)
        return canvas.finish()


def draw(key: str, size: tuple[int, int], subject: str | None = None) -> tuple[Image, LabelMap]:
    """Draw the mannequin of a key, in the colours of another's if ``subject`` names one.

    See :meth:`~scam.data.mannequins.Mannequins.load` and ``transferred``.
    """
    portrait = Portrait.sample(key, size[1] / size[0])
    if subject is not None:
        other = Portrait.sample(subject, size[1] / size[0])
        portrait = replace(portrait, figure=portrait.figure.coloured_as(other.figure))
    return portrait.draw(size)
