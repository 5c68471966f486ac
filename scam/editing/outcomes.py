# SPDX-License-Identifier: Apache-2.0
"""What an edit gave the labels of each group, in words: of one image, or summed over many."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from scam.errors import counted
from scam.models.checkpoint import Checkpoint
from scam.models.mixing import BACKGROUND, MEAN, Absent, sources
from scam.models.styles import Styles


@dataclass(frozen=True)
class Outcome:
    """What the labels of one group were given in one edit.

    role: the argument that was to give them, ``--subject``. who: the same with the image's
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
    styles: Styles,
    asked: Tensor,
    absent: Absent,
    otherwise: str,
) -> list[Outcome]:
    """One for each group of the labels ``asked`` (1, L) bool of the giver's ``styles``.

    giver: role and name. otherwise: the phrase for labels that another image gives in the end.
    """
    source = sources(checkpoint.model, styles, asked, absent)[0].tolist()
    by_group: dict[str, list[int]] = defaultdict(list)
    for label in asked[0].nonzero().flatten().tolist():
        by_group[checkpoint.model.groups.of(label) or ""].append(label)
    return [
        Outcome(*giver, group, _how(checkpoint.label_names, labels, source, otherwise))
        for group, labels in by_group.items()
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
    """Lines that count the sources of each group over ``edits``."""
    total = 0
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for edit in edits:
        total += 1
        for outcome in edit:
            counts[outcome.role, outcome.group].update(outcome.how or ("every label its own",))
    lines = []
    for (role, group), found in counts.items():
        words = [f"{how} in {counted(count, 'image')}" for how, count in found.most_common()]
        lines.append(f"  {role}{f' ({group})' if group else ''}: {'; '.join(words)}")
    if lines:
        lines.insert(0, f"summary of {counted(total, 'image')}:")
    return lines
