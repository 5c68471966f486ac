# SPDX-License-Identifier: Apache-2.0
"""A dressed mannequin, drawn part by part from back to front."""

from dataclasses import dataclass, replace

from scam.data.labels import LABEL_SETS
from scam.data.mannequins.canvas import Canvas, Surface
from scam.data.mannequins.head import Looks, draw_back_hair, draw_head
from scam.data.mannequins.outfit import SLEEVES, TROUSERS, Outfit
from scam.data.mannequins.pose import Build, Pose
from scam.data.mannequins.shapes import Outline, ellipse, limb, mirrored, placed, smooth
from scam.data.mannequins.texture import Texture

ID = {name: index for index, name in enumerate(LABEL_SETS["mannequins"].names)}
SIDES = ("left", "right")


@dataclass(frozen=True)
class Figure:
    """A mannequin ready to be drawn."""

    build: Build
    pose: Pose
    looks: Looks
    outfit: Outfit

    def coloured_as(self, other: "Figure") -> "Figure":
        """This figure in the other's colours and cloth: every outline stays where it is."""
        # Glasses are within the face, so no label map shows them.
        looks = replace(other.looks, style=self.looks.style)
        outfit = self.outfit.in_cloth_of(other.outfit, self.pose.scale / other.pose.scale)
        return replace(self, looks=looks, outfit=outfit)

    def draw(self, canvas: Canvas) -> None:
        """Draw the whole figure with its shadow on the ground."""
        self._shadow(canvas)
        draw_back_hair(canvas, self.build, self.pose, self.looks)
        for side in (0, 1):
            self._leg(canvas, side)
        self._hips(canvas)
        self._torso(canvas)
        draw_head(canvas, self.build, self.pose, self.looks)
        for side in (0, 1):
            self._arm(canvas, side)

    def _limb(
        self,
        canvas: Canvas,
        texture: Texture,
        ends: tuple[complex, complex],
        radii: tuple[float, float],
        label: str,
        fade: float = 0.0,
    ) -> None:
        along = ends[1] - ends[0]
        if not abs(along):
            return
        surface = Surface(
            texture, ends[0], along / abs(along), max(radii), abs(along), rounding=0.3, fade=fade
        )
        canvas.fill(limb(*ends, *radii), surface, ID[label])

    def _shadow(self, canvas: Canvas) -> None:
        k = self.pose.scale
        a, b = self.pose.ankles
        ground = max(a.imag, b.imag) + 0.018 * k
        middle, reach = (a.real + b.real) / 2, abs(a.real - b.real) / 2
        for grow, factor in ((1.35, 0.9), (1.0, 0.82)):
            outline = ellipse(
                complex(middle - 0.03 * k * canvas.light, ground),
                (reach + 0.09 * k) * grow,
                0.02 * k * grow,
            )
            canvas.shade_ground(outline, factor)

    def _leg(self, canvas: Canvas, side: int) -> None:
        pose, k = self.pose, self.pose.scale
        t = k * (0.7 + 0.3 * self.build.thick)
        hip, knee, ankle = pose.thighs[side], pose.knees[side], pose.ankles[side]
        label = f"{SIDES[side]}_leg"
        skin = Texture("plain", self.looks.skin)
        self._limb(canvas, skin, (hip, knee), (0.052 * t, 0.037 * t), label)
        self._limb(canvas, skin, (knee, ankle), (0.037 * t, 0.023 * t), label, 0.05)
        if self.outfit.lower_kind != "skirt":
            self._trouser(canvas, side)
        self._shoe(canvas, side)

    def _trouser(self, canvas: Canvas, side: int) -> None:
        k = self.pose.scale
        hip, knee, ankle = (z[side] for z in (self.pose.thighs, self.pose.knees, self.pose.ankles))
        upper, lower = TROUSERS[self.outfit.lower_kind]
        wide = 1.14 * k * (0.7 + 0.3 * self.build.thick)
        if lower:
            end = knee + lower * (ankle - knee)
            radii = (0.042 * wide, 0.031 * wide)
            self._limb(canvas, self.outfit.lower, (knee, end), radii, "lower_body", -0.08)
        end = hip + upper * (knee - hip)
        radii = (0.056 * wide, 0.043 * wide)
        self._limb(canvas, self.outfit.lower, (hip, end), radii, "lower_body")

    def _shoe(self, canvas: Canvas, side: int) -> None:
        k = self.pose.scale
        knee, ankle = self.pose.knees[side], self.pose.ankles[side]
        label = f"{SIDES[side]}_shoe"
        leather = Texture("plain", self.outfit.shoes)
        if self.outfit.boots:
            top = ankle + 0.4 * (knee - ankle)
            self._limb(canvas, leather, (top, ankle), (0.034 * k, 0.03 * k), label)
        outwards = (1, -1)[side]
        toe = ankle + k * complex(0.034 * outwards, 0.014)
        heel = ankle + k * complex(-0.008 * outwards, 0.004)
        self._limb(canvas, leather, (heel, toe), (0.03 * k, 0.023 * k), label)

    def _hips(self, canvas: Canvas) -> None:
        build = self.build
        wide = build.hip * (0.9 + 0.2 * build.thick) * 1.18
        if self.outfit.lower_kind == "skirt":
            self._skirt(canvas, wide)
            return
        half = [complex(wide * build.waist, -0.1), complex(wide, 0), complex(wide * 0.8, 0.05)]
        self._garment(canvas, self.outfit.lower, self._on_body(half), "lower_body", wide, 0.06)

    def _skirt(self, canvas: Canvas, wide: float) -> None:
        length, flare = self.outfit.skirt
        # Wide enough for the thighs, however the legs stand.
        hem = wide * flare
        for knee in self.pose.knees:
            at = (knee - self.pose.hips) / (1j * self.pose.up * self.pose.scale)
            if at.imag > 0:
                hem = max(hem, abs(at.real) * min(1.0, length / at.imag) + 0.045)
        half = [
            complex(wide * self.build.waist * 0.9, -0.1),
            complex(wide * 1.04, 0),
            complex(wide + (hem - wide) * 0.6, length * 0.55),
            complex(hem, length),
            complex(hem * 0.5, length + 0.016),
        ]
        canvas.shade_figure(self._on_body([z + 0.03j for z in half]), 0.8)
        outline = self._on_body(half)
        self._garment(canvas, self.outfit.lower, outline, "lower_body", hem, length)

    def _on_body(self, half: list[complex]) -> Outline:
        """Place a right half drawn in body heights, the hips at 0, and its mirror image."""
        outline = [self.pose.scale * z for z in mirrored(half)]
        return placed(outline, self.pose.hips, 1j * self.pose.up)

    def _garment(
        self,
        canvas: Canvas,
        texture: Texture,
        outline: Outline,
        label: str,
        wide: float,
        length: float,
    ) -> None:
        k = self.pose.scale
        surface = Surface(
            texture, self.pose.hips, -self.pose.up, 1.1 * wide * k, length * k, rounding=0.25
        )
        canvas.fill(outline, surface, ID[label])

    def _torso(self, canvas: Canvas) -> None:
        pose, k = self.pose, self.pose.scale
        outfit, build = self.outfit, self.build
        hips = build.hip * (0.9 + 0.2 * build.thick)
        chest = build.shoulder * (0.84 + 0.08 * build.thick)
        waist = build.waist * (0.35 * chest + 0.65 * hips) * (0.75 + 0.3 * build.thick)
        half = [
            complex(0.03, -0.302),
            complex(build.shoulder * 0.72, -0.292),
            complex(build.shoulder + 0.016, -0.262),
            complex(chest, -0.2),
            complex(waist, -0.1),
            complex(hips * 1.16, 0.0),
            complex(hips * 1.2, outfit.hem),
            complex(hips * 0.5, outfit.hem + 0.008),
        ]
        curve = smooth(self._on_body(half), 3)
        canvas.shade_figure([z - 0.02 * k * pose.up for z in curve], 0.82)
        self._garment(canvas, outfit.upper, curve, "upper_body", chest * 0.92, 0.35)
        skin = Texture("plain", self.looks.skin)
        depth = outfit.neckline
        collar = [
            complex(0.036, -0.312),
            complex(0.03, -0.3 + depth * 0.5),
            complex(0, depth - 0.3),
        ]
        canvas.fill(self._on_body(collar), Surface(skin), ID["face"])
        neck = limb(pose.neck - 0.012 * k * pose.up, pose.head, 0.031 * k, 0.03 * k)
        canvas.fill(
            neck, Surface(skin, pose.neck, pose.up, 0.031 * k, 0.06 * k, 0.3, -0.2), ID["face"]
        )

    def _arm(self, canvas: Canvas, side: int) -> None:
        pose, k = self.pose, self.pose.scale
        t = k * (0.75 + 0.25 * self.build.thick)
        shoulder, elbow, hand = pose.shoulders[side], pose.elbows[side], pose.hands[side]
        label = f"{SIDES[side]}_arm"
        skin = Texture("plain", self.looks.skin)
        offset = k * complex(-0.012 * canvas.light, 0.014)
        for ends in ((shoulder, elbow), (elbow, hand)):
            outline = limb(ends[0] + offset, ends[1] + offset, 0.032 * t, 0.028 * t)
            canvas.shade_figure(outline, 0.8)
        self._limb(canvas, skin, (shoulder, elbow), (0.033 * t, 0.027 * t), label)
        self._limb(canvas, skin, (elbow, hand), (0.027 * t, 0.02 * t), label)
        forearm = hand - elbow
        palm = hand + 0.012 * k * forearm / abs(forearm)
        self._limb(canvas, skin, (hand, palm), (0.022 * t, 0.026 * t), label)
        cloth, label = self.outfit.upper, "upper_body"
        upper, lower = SLEEVES[self.outfit.sleeves]
        if lower:
            end = elbow + lower * (hand - elbow)
            self._limb(canvas, cloth, (elbow, end), (0.033 * t, 0.028 * t), label)
        if upper:
            end = shoulder + upper * (elbow - shoulder)
            self._limb(canvas, cloth, (shoulder, end), (0.038 * t, 0.035 * t), label)
