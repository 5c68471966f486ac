# SPDX-License-Identifier: Apache-2.0
"""Whose subject each image receives."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from scam.errors import InputError, quoted
from scam.storage.reading import read_json


def derangement(count: int, seed: int) -> list[int]:
    """A random donor for each of ``count`` hosts: one cycle, so nobody is their own donor.

    Each image is donor once. ValueError for fewer than 2.
    """
    if count < 2:
        raise ValueError(f"no pair among {count}")
    order = np.random.default_rng(seed).permutation(count)
    donors = np.empty(count, dtype=np.int64)
    donors[order] = np.roll(order, -1)
    return [int(donor) for donor in donors]


def read_pairs(path: Path, stems: Sequence[str]) -> list[int]:
    """Donors of the images ``stems``, from the ``pairs.json`` of an earlier evaluation.

    InputError unless each image is a host there, with another image of them as its donor.
    """
    try:
        stored = read_json(path).get("donors")
    except InputError as error:
        raise InputError(f"{error}; expected a pairs.json").led_by("pairs", path) from error
    if not isinstance(stored, Mapping):
        raise InputError("{pairs}: holds no donors, expected a pairs.json", pairs=path)
    numbers = {stem: index for index, stem in enumerate(stems)}
    if stored.keys() != numbers.keys():
        odd = min(numbers.keys() ^ stored.keys())
        raise InputError(
            f"{{pairs}}: pairs other images than these {len(stems)}, for example {odd}",
            pairs=path,
        )
    for host, donor in stored.items():
        if not isinstance(donor, str) or donor not in numbers or donor == host:
            raise InputError(
                f"{{pairs}}: {host} has {quoted(donor)} as donor, expected another", pairs=path
            )
    return [numbers[stored[stem]] for stem in stems]
