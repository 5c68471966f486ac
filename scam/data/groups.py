# SPDX-License-Identifier: Apache-2.0
"""Groups of labels: what one word stands for, and which label can stand in for another."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from scam.data.labels import LABEL_SETS, LabelSet


@dataclass(frozen=True)
class Groups:
    """Groups of the labels of a model or a data set, and stand-ins, both by number.

    members: the labels of each group by its name. A label may be in several groups; the first
    that holds it is the one to report it under. related: for each label those that may stand in
    for it where an image lacks it, nearest first.
    """

    members: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    related: tuple[tuple[int, ...], ...] = ()

    def of(self, label: int) -> str | None:
        """The name of the first group that holds ``label``, None if there is none."""
        return next((name for name, labels in self.members.items() if label in labels), None)

    def find(self, word: str) -> tuple[int, ...] | None:
        """The labels of the group that ``word`` names, however it is spelled; None if none is."""
        word = plain(word)
        return next((labels for name, labels in self.members.items() if plain(name) == word), None)


def plain(name: str) -> str:
    """A name without case, and with one ``_`` for hyphens, spaces and the like."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


@lru_cache(maxsize=64)
def groups_of(names: tuple[str, ...]) -> Groups:
    """The groups of labels called ``names``, in this order.

    They are those of the first label set that has all these names (spelled as one likes:
    ``Left-arm`` is ``left_arm``), without the labels that are not there; none if no set has.
    """
    numbers = {plain(name): number for number, name in enumerate(names)}
    known = next((x for x in LABEL_SETS.values() if numbers.keys() <= {*x.names}), None)
    if known is None or len(numbers) < len(names):
        return Groups(related=((),) * len(names))

    def here(words: str) -> tuple[int, ...]:
        return tuple(numbers[word] for word in words.split() if word in numbers)

    members = {name: here(words) for name, words in _members(known).items()}
    return Groups(
        {name: labels for name, labels in members.items() if labels},
        tuple(here(_related(known, plain(name))) for name in names),
    )


def _members(known: LabelSet) -> Mapping[str, str]:
    return _GROUPS.get(_SAME.get(known.name, known.name), {})


def _related(known: LabelSet, label: str) -> str:
    """Stand-ins as written down, else the others of the label's groups in their order."""
    name = _SAME.get(known.name, known.name)
    if name in _RELATED:
        return _RELATED[name].get(label, "")
    groups = [words for words in _GROUPS.get(name, {}).values() if label in words.split()]
    others = (word for words in groups for word in words.split() if word != label)
    return " ".join(dict.fromkeys(others))


_SAME = {"face_parsing19": "celebamask19"}

# The groups that together hold every label once come first: labels are reported under these.
_GROUPS: dict[str, dict[str, str]] = {
    "lip20": {
        "clothes": "upper_clothes coat dress jumpsuits scarf skirt pants socks",
        "head": "hat hair sunglasses face",
        "skin": "left_arm right_arm left_leg right_leg face",
        "feet": "left_shoe right_shoe socks",
        "accessories": "glove hat sunglasses scarf",
        "upper_body": "upper_clothes coat dress jumpsuits scarf",
        "lower_body": "pants skirt dress jumpsuits",
        "whole_body": "dress jumpsuits",
        "arms": "left_arm right_arm",
        "legs": "left_leg right_leg",
    },
    "celebamask19": {
        "head": "skin nose l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip neck hair",
        "accessories": "eye_g hat ear_r neck_l",
        "clothes": "cloth",
        "face": "skin nose l_eye r_eye l_brow r_brow mouth u_lip l_lip",
        "complexion": "skin nose l_ear r_ear neck",
        "eyes": "l_eye r_eye",
        "brows": "l_brow r_brow",
        "ears": "l_ear r_ear",
        "lips": "u_lip l_lip",
    },
    "mannequins": {
        "clothes": "upper_body lower_body",
        "head": "hair face",
        "skin": "left_arm right_arm left_leg right_leg face",
        "feet": "left_shoe right_shoe",
        "arms": "left_arm right_arm",
        "legs": "left_leg right_leg",
    },
    "idesigner": {"person": "face body"},
    "ade20k": {
        "sky": "sky",
        "waters": "water sea river lake waterfall swimming_pool fountain",
        "ground": "earth land field grass sand dirt_track path road sidewalk runway",
        "mountains": "mountain hill rock",
        "plants": "tree palm plant flower",
        "buildings": "building house skyscraper tower hovel booth grandstand tent bridge pier",
        "room": "wall floor ceiling rug",
        "columns": "column pole base railing bannister fence",
        "staircases": "stairs stairway step escalator stage",
        "openings": "door screen_door windowpane glass mirror",
        "curtains": "curtain blind awning canopy screen",
        "seats": "chair armchair swivel_chair sofa seat bench stool ottoman",
        "tables": "table desk coffee_table counter countertop kitchen_island bar buffet "
        "pool_table",
        "storage": "cabinet wardrobe chest_of_drawers shelf bookcase case",
        "beds": "bed cradle",
        "textiles": "pillow cushion blanket towel apparel",
        "appliances": "refrigerator stove oven microwave dishwasher washer hood fireplace "
        "radiator fan",
        "bathroom": "bathtub sink toilet shower",
        "lamps": "lamp light chandelier sconce streetlight traffic_light",
        "screens": "television monitor computer crt_screen arcade_machine",
        "signs": "signboard bulletin_board poster painting trade_name flag",
        "vehicles": "car van truck bus minibike bicycle airplane boat ship tank conveyer_belt",
        "people": "person",
        "animals": "animal",
        "containers": "box barrel basket bag ashcan tray pot vase bottle plate",
        "things": "book clock ball plaything sculpture food",
        "furniture": "chair armchair swivel_chair sofa seat bench stool ottoman table desk "
        "coffee_table counter countertop kitchen_island bar buffet pool_table cabinet wardrobe "
        "chest_of_drawers shelf bookcase case bed cradle",
    },
}  # fmt: skip

# What would be seen of somebody in the place of a thing that they do not wear: hair where a hat
# is, skin where a glove is. Garments are nearest where they cover the same part of the body and,
# of these, the same of the legs. A face is not a stand-in for hair, nor is hair for a face.
_SKIN = {
    "left_arm": "right_arm left_leg right_leg face",
    "right_arm": "left_arm right_leg left_leg face",
    "left_leg": "right_leg left_arm right_arm face",
    "right_leg": "left_leg right_arm left_arm face",
}
_RELATED: dict[str, dict[str, str]] = {
    "lip20": {
        **_SKIN,
        "hat": "hair",
        "hair": "hat",
        "sunglasses": "face",
        "upper_clothes": "coat dress jumpsuits",
        "coat": "upper_clothes dress jumpsuits",
        "dress": "upper_clothes jumpsuits coat skirt pants",
        "jumpsuits": "dress upper_clothes pants coat skirt",
        "pants": "jumpsuits skirt dress",
        "skirt": "dress pants jumpsuits",
        "scarf": "upper_clothes coat dress jumpsuits",
        "glove": "left_arm right_arm face",
        "socks": "left_leg right_leg left_shoe right_shoe",
        "left_shoe": "right_shoe socks left_leg right_leg",
        "right_shoe": "left_shoe socks right_leg left_leg",
    },
    "celebamask19": {
        "skin": "nose neck l_ear r_ear",
        "nose": "skin neck",
        "neck": "skin nose l_ear r_ear",
        "l_ear": "r_ear skin neck",
        "r_ear": "l_ear skin neck",
        "l_eye": "r_eye",
        "r_eye": "l_eye",
        "l_brow": "r_brow hair",
        "r_brow": "l_brow hair",
        "u_lip": "l_lip",
        "l_lip": "u_lip",
        "eye_g": "skin",
        "hat": "hair",
        "hair": "hat",
        "ear_r": "l_ear r_ear skin",
        "neck_l": "neck skin",
    },
    "mannequins": {
        **_SKIN,
        "upper_body": "lower_body",
        "lower_body": "upper_body",
        "left_shoe": "right_shoe left_leg right_leg",
        "right_shoe": "left_shoe right_leg left_leg",
    },
    "idesigner": {},
}
