# SPDX-License-Identifier: Apache-2.0
"""Random choices that stay the same for ever."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Random numbers from one key, the same on every machine and under every Python.

    Everything derives from ``random.Random(key).random()``, the one stream that Python promises
    to keep; numpy's generators and ``random.choice`` promise nothing of the kind.
    """

    def __init__(self, key: str) -> None:
        self._next = random.Random(key).random

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self._next()

    def around(self, centre: float, spread: float) -> float:
        """Within ``spread`` of ``centre``, most often near it."""
        return centre + spread * (self._next() + self._next() - 1)

    def below(self, count: int) -> int:
        """One of 0 .. count - 1."""
        return int(count * self._next())

    def pick(self, choices: Sequence[T]) -> T:
        """One of ``choices``."""
        return choices[self.below(len(choices))]

    def happens(self, probability: float) -> bool:
        """True with the given probability."""
        return self._next() < probability

    def sign(self) -> int:
        """-1 or 1."""
        return 1 if self._next() < 0.5 else -1
