# SPDX-License-Identifier: Apache-2.0
"""What an edit gave the labels of each group, in words: of one picture, or summed over many."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from scam.errors import counted
from scam.models.checkpoint import Checkpoint
from scam.models.mixing import BACKGROUND, MEAN


@dataclass(frozen=True)
class Outcome:
    """What the labels of one group were given in one edit.

    role: the argument that was to give them, ``--subject``. who: the same with the picture's
    name. group: its name, empty for labels without one. how: where what ``who`` lacks came from,
    a phrase each; empty if it gave all.
    """

    role: str
    who: str
    group: str
    how: tuple[str, ...]

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.who, self.group, ", ".join(self.how))))


def outcomes(
    checkpoint: Checkpoint,
    giver: tuple[str, str],
    labels: Iterable[int],
    source: Tensor,
    otherwise: str,
) -> list[Outcome]:
    """One for each group of ``labels``.

    giver: role and name. source: (L,), see :func:`scam.models.mixing.sources`. otherwise: the
    phrase for labels that the giver's picture has no part in.
    """
    by_group: dict[str, list[int]] = defaultdict(list)
    for label in labels:
        by_group[checkpoint.groups.of(label) or ""].append(label)
    numbers = source.tolist()
    return [
        Outcome(*giver, group, _how(checkpoint.label_names, members, numbers, otherwise))
        for group, members in by_group.items()
    ]


def _how(
    names: Sequence[str], labels: Collection[int], source: Sequence[int], otherwise: str
) -> tuple[str, ...]:
    standing_in: dict[int, list[str]] = defaultdict(list)
    for label in labels:
        if source[label] != label:
            standing_in[source[label]].append(names[label])
    whence = {MEAN: "from the mean", BACKGROUND: otherwise}
    return tuple(
        f"{', '.join(lacking)} {whence[other] if other < 0 else f'from its {names[other]}'}"
        for other, lacking in standing_in.items()
    )


def summary(edits: Iterable[Sequence[Outcome]]) -> list[str]:
    """Lines that say in how many of ``edits`` a group was somebody's own, and what else it was."""
    total = 0
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for edit in edits:
        total += 1
        for outcome in edit:
            counts[outcome.role, outcome.group].update(outcome.how or ("its own",))
    lines = []
    for (role, group), found in counts.items():
        if found.keys() == {"its own"}:
            continue
        own = found.pop("its own", 0)
        words = [f"its own in {own}", *(f"{how} in {n}" for how, n in found.most_common())]
        lines.append(": ".join(filter(None, ("  " + role, group, "; ".join(words)))))
    if lines:
        lines.insert(0, f"summary of {counted(total, 'picture')}:")
    return lines
