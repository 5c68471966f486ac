# SPDX-License-Identifier: Apache-2.0
"""What each pair of a folder holds, and what the values of all label maps mean."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scam.data.folder import all_ignored, counts_labels, read_labels
from scam.data.folder_report import LabelCount
from scam.data.greys import read_values
from scam.data.ids import MOST_SCANNED, Command, Scale, judge, scale_advice, scale_of
from scam.data.labels import LabelSet
from scam.data.pairs import Pair, expect_equal_sizes
from scam.data.picture import read_image, read_label_png
from scam.data.picture_folder import BadFile
from scam.data.values import LabelValues, count_values, without
from scam.errors import InputError


@dataclass(frozen=True)
class SeenPair:
    """One pair: pixels per value of its map, or of an image of greys in its place, size (height,
    width), the photograph's digest, and whether EXIF turns it.
    """

    pixels: dict[int, int]
    greys: dict[int, int]
    size: tuple[int, int]
    digest: bytes
    turned: bool
    problems: tuple[BadFile, ...]


def look_at(pair: Pair) -> SeenPair:
    """Read both files; what cannot be used is among the problems."""
    problems: list[BadFile] = []
    pixels, size, digest, orientation = {}, (0, 0), b"", 1
    picture = None
    try:
        picture, orientation = read_image(pair.image)
        digest = hashlib.blake2b(pair.image.read_bytes(), digest_size=16).digest()
    except InputError as error:
        problems.append(BadFile.of(error, pair.image))
    try:
        values = read_label_png(pair.labels)
    except InputError as error:
        problems.append(BadFile.of(error, pair.labels))
        return SeenPair({}, _greys(pair.labels), size, digest, orientation > 1, tuple(problems))
    pixels, size = count_values(values), (values.shape[0], values.shape[1])
    try:
        if picture is not None:
            expect_equal_sizes(pair.image, picture, orientation, pair.labels, values)
    except InputError as error:
        problems.append(BadFile.of(error, pair.labels))
    return SeenPair(pixels, {}, size, digest, orientation > 1, tuple(problems))


@dataclass(frozen=True)
class Meaning:
    """What the values of all maps mean; problems of all together; advice about them."""

    label_set: LabelSet
    values: LabelValues
    problems: list[str]
    advice: list[str]

    @classmethod
    def of(
        cls,
        seen: Sequence[SeenPair],
        names: LabelSet | None,
        ignore: int | None,
        merge: str | None,
        command: Command,
    ) -> "Meaning":
        """Of the maps that were seen; ``command`` is advised where ids are no index maps."""
        pixels = without(_sum(found.pixels for found in seen), ignore)
        readable = any(found.pixels for found in seen)
        problems = [all_ignored(ignore)] if readable and not pixels else []
        advice = []
        num_labels = None
        if names is None and counts_labels(merge):
            found = judge(pixels, command)
            num_labels = max(1, found.count)
            problems += [found.problem] if found.problem else []
            advice += [found.advice] if found.advice else []
        label_set, values = read_labels(
            "labels", names, None if problems else merge, ignore, num_labels
        )
        if names is not None and values.problem(pixels):
            scale = scale_of(pixels)
            advice += [scale_advice(scale, command)] if scale else []
        greys = _sum(found.greys for found in seen)
        if greys:
            for value, count in pixels.items():
                greys[value] = greys.get(value, 0) + count
            greys = without(greys, ignore)
            scale = None if names and max(greys, default=0) < len(names) else scale_of(greys)
            said = f"grey label images hold {scale.said}: " if scale else ""
            advice = [said + scale_advice(scale or Scale("", ""), command)]
        return cls(label_set, values, problems, advice)

    def wrong(self, pair: Pair, found: SeenPair) -> list[BadFile]:
        """What is wrong with the values of one map, unless it is wrong with all together."""
        text = None if self.problems else self.values.problem(found.pixels)
        return [] if text is None else [BadFile(pair.labels, text)]

    def count(self, good: Iterable[SeenPair]) -> tuple[LabelCount, ...]:
        """Pictures and pixels of each label."""
        pixels = [0] * len(self.label_set)
        pictures = [0] * len(self.label_set)
        for found in good:
            met = set()
            for value, count in found.pixels.items():
                if value != self.values.ignore:
                    pixels[self.values.to_label[value]] += count
                    met.add(self.values.to_label[value])
            for label in met:
                pictures[label] += 1
        return tuple(
            LabelCount(index, name, pictures[index], pixels[index])
            for index, name in enumerate(self.label_set.names)
        )


def _greys(path: Path) -> dict[int, int]:
    """Pixels per value of a label image that is not an index map but may be made one."""
    try:
        found = count_values(read_values(path))
    except InputError:
        return {}
    return found if len(found) <= MOST_SCANNED else {}


def _sum(counts: Iterable[dict[int, int]]) -> dict[int, int]:
    total: Counter[int] = Counter()
    for found in counts:
        total.update(found)
    return dict(total)
