# SPDX-License-Identifier: Apache-2.0
"""``hair,face=anna.jpg:0.7``: which latents a donor gives, and how much of them."""

from dataclasses import dataclass

from torch import Tensor

from scam.editing.latents import shares
from scam.errors import InputError, leading
from scam.models.checkpoint import Checkpoint

FORM = "LABEL[.LATENT][,LABEL...]=IMAGE[:WEIGHT]"


@dataclass(frozen=True)
class Donor:
    """One ``--donor``: its text, the labels it touches, the share (m,) of each token it gives.

    words: what it was asked for, names of labels or groups, with the labels they stand for.
    """

    text: str
    labels: tuple[int, ...]
    share: Tensor
    picture: str
    words: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def doubt(self) -> str:
        """What to add when there is no such image: it may end in what was meant as a weight."""
        _, colon, after = self.picture.removeprefix("lib:").rpartition(":")
        return f"; as a weight {after!r} is not a number from 0 to 1" if colon else ""


def parse_donor(text: str, checkpoint: Checkpoint) -> Donor:
    """Read one ``--donor``; InputError names what is wrong with it."""
    labels, equals, picture = text.partition("=")
    before, colon, after = picture.rpartition(":")
    weight = _number(after) if colon and before != "lib" else None
    if weight is not None:
        picture = before
    if not equals or not labels or not picture:
        raise InputError(f"{{donor}}: expected {FORM}", donor=text)
    model = checkpoint.model
    share = model.token_labels.new_zeros(len(model.token_labels)).float()
    words = []
    for word in labels.split(","):
        with leading("donor", text):
            found, latent = _part(word, checkpoint)
            for label in found:
                mine = shares(model, label, latent, 1.0 if weight is None else weight)
                share = mine.where(mine > 0, share)
        words.append((word if len(found) > 1 else checkpoint.label_names[found[0]], found))
    touched = dict.fromkeys(label for _, found in words for label in found)
    return Donor(text, tuple(touched), share, picture, tuple(words))


def _part(word: str, checkpoint: Checkpoint) -> tuple[tuple[int, ...], int | None]:
    """The labels that a word names, and which latent of each."""
    label, dot, latent = word.rpartition(".")
    if dot and latent.isdecimal() and len(latent) < 10 and word not in checkpoint.label_names:
        return checkpoint.model.labels_of(label), int(latent)
    return checkpoint.model.labels_of(word), None


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
