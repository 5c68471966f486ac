# SPDX-License-Identifier: Apache-2.0
"""Mannequins: drawn people in drawn places, with exact label maps and nothing to download."""

from scam.data.arrays import Image, LabelMap
from scam.data.labels import LABEL_SETS, LabelSet, MergeSpec, read_merge
from scam.data.mannequins.portrait import draw
from scam.data.source import PairSource, checked_index, checked_size
from scam.data.values import LabelValues
from scam.errors import InputError

LENGTHS = {"train": 2048, "val": 64}


class Mannequins(PairSource):
    """An endless supply of little people, the same for ever for each (seed, split, index).

    split: ``train`` or ``val``, two different streams. length: default 2048 or 64.
    merge: as for folders, of the labels of ``LABEL_SETS["mannequins"]``.
    Garments carry their own labels: an arm label is bare skin, with a long sleeve only a hand.
    The face includes ears and neck.
    ``left`` is the mannequin's left, which is right in the image.
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
        IndexError outside 0 .. len - 1, InputError for what is no integer or no size.
        """
        image, labels = draw(self._key(index), checked_size(size))
        return image, labels if self._table is None else self._table[labels]

    def transferred(self, host: int, subject: int, size: tuple[int, int]) -> Image:
        """Draw the truth of a transfer: ``subject`` in the pose and scene of ``host``.

        uint8 (H, W, 3). Its label map is the host's, to the bit: what the map shows is the
        host's (body, pose, hair style, the cut of clothes), what it does not show the subject's
        (skin, lips, glasses, colour of hair and shoes, cloth, whose pattern grows with the
        wearer). Thus no pixel is excused, as it would be if the subject's cut came too and only
        labels common to both were compared. Of a mannequin in its own place it is its image.
        IndexError outside 0 .. len - 1.
        """
        return draw(self._key(host), checked_size(size), self._key(subject))[0]

    def _key(self, index: int) -> str:
        return f"{self.seed}/{self.split}/{checked_index(index, self.length)}"
