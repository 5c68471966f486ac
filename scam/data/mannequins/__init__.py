# SPDX-License-Identifier: Apache-2.0
"""Mannequins: drawn people in drawn places, with exact label maps and nothing to download."""

from scam.data.labels import LABEL_SETS, LabelSet, MergeSpec, read_merge
from scam.data.mannequins.canvas import Canvas
from scam.data.mannequins.chance import Chance
from scam.data.mannequins.figure import Figure
from scam.data.mannequins.head import Looks
from scam.data.mannequins.outfit import Outfit
from scam.data.mannequins.pose import Build, sample_pose
from scam.data.mannequins.scene import draw_scene
from scam.data.source import Image, LabelMap
from scam.data.values import LabelValues
from scam.errors import InputError

LENGTHS = {"train": 2048, "val": 64}


class Mannequins:
    """An endless supply of little people, the same for ever for each (seed, split, index).

    split: ``train`` or ``val``, two different streams. length: default 2048 or 64.
    merge: as for folders, of the labels of ``LABEL_SETS["mannequins"]``.
    Garments carry their own labels: an arm label is bare skin, with a long sleeve only a hand.
    The face includes ears and neck.
    ``left`` is the mannequin's left, which is right in the picture.
    InputError for another split, a length below 1 or a negative seed.
    """

    def __init__(
        self,
        split: str = "train",
        length: int | None = None,
        seed: int = 0,
        *,
        merge: MergeSpec | None = None,
    ) -> None:
        if split not in LENGTHS:
            raise InputError("{split}: expected train or val", split=split)
        self.split = split
        self.length = LENGTHS[split] if length is None else length
        if self.length < 1:
            raise InputError("{length}: expected 1 or more", length=length)
        if seed < 0:
            raise InputError("{seed}: expected 0 or more", seed=seed)
        self.seed = seed
        self.label_set: LabelSet = LABEL_SETS["mannequins"]
        merged = None if merge is None else read_merge(merge, len(self.label_set))
        self.label_values = LabelValues.build(len(self.label_set), merged)
        self._table = None if merged is None else merged.table()
        if merged is not None:
            self.label_set = merged.label_set

    def __len__(self) -> int:
        return self.length

    def stem(self, index: int) -> str:
        """``mannequin_val_00003``."""
        return f"mannequin_{self.split}_{index:05d}"

    def load(self, index: int, size: tuple[int, int]) -> tuple[Image, LabelMap]:
        """Draw mannequin ``index`` at size (H, W): uint8 (H, W, 3) and int32 labels (H, W).

        The same person at any size, and the same scene at any size of one aspect.
        IndexError outside 0 .. len - 1.
        """
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} is outside 0 .. {self.length - 1}")
        image, labels = draw(f"{self.seed}/{self.split}/{index}", size)
        return image, labels if self._table is None else self._table[labels]


def draw(key: str, size: tuple[int, int]) -> tuple[Image, LabelMap]:
    """Draw the mannequin of a key; :meth:`Mannequins.load` gives shapes and dtypes."""
    # Two streams: a wider scene draws more numbers, and must not change who stands in it.
    chance, scenery = Chance(key), Chance(f"{key}/scene")
    fine = 3 if size[0] * size[1] <= 1 << 16 else 2
    canvas = Canvas(size, light=chance.between(-1, 1), fine=fine)
    horizon = chance.between(0.62, 0.8)
    draw_scene(canvas, scenery, horizon)
    # Narrow pictures hold smaller people; 2 : 3 is the portrait format they are made for.
    scale = min(1.0, canvas.aspect * 1.5) * chance.between(0.66, 0.86)
    foot = min(0.97, max(horizon + 0.08, scale + chance.between(0.06, 0.12)))
    build = Build.sample(chance)
    pose = sample_pose(chance, build, complex(chance.around(0, 0.1) * canvas.aspect, foot), scale)
    looks, outfit = Looks.sample(chance), Outfit.sample(chance, scale)
    Figure(build, pose, looks, outfit).draw(canvas)
    return canvas.finish()
