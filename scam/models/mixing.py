# SPDX-License-Identifier: Apache-2.0
"""The styles of a subject in those of a background image, and what stands in for absent labels."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol, get_args

import torch
from torch import Tensor

from scam.data.groups import Groups
from scam.errors import InputError
from scam.models.styles import Styles, of_labels, select_tokens

Absent = Literal["related", "background", "mean", "error"]
"""What stands in for a label that an image lacks: the nearest label of its group that the image
has (:mod:`scam.data.groups`) and, where it has none or labels' styles cannot be compared, the
background image's; the background image's style; the mean style of training images; or nothing."""
MEAN, BACKGROUND = -1, -2
"""In :func:`sources`, beside the numbers of labels."""


class Knowing(Protocol):
    """As much of a model as decides what stands in."""

    token_labels: Tensor
    mean_tokens: Tensor
    mean_known: Tensor
    one_style_space: ClassVar[bool]

    @property
    def groups(self) -> Groups: ...  # noqa: D102


def labels_lacking(styles: Styles, wanted: Tensor, token_labels: Tensor) -> Tensor:
    """Those of the labels ``wanted`` (B, L) that ``styles`` have tokens for, but no evidence of.

    Where tokens are of the whole image these are none: any label is generated from them.
    """
    labels = torch.arange(wanted.shape[1], device=wanted.device)
    return wanted & ~styles.present & torch.isin(labels, token_labels)


def sources(model: Knowing, styles: Styles, wanted: Tensor, absent: Absent) -> Tensor:
    """Whose tokens each of the labels ``wanted`` (B, L) takes: int64 (B, L).

    That is a label's own number unless ``styles`` lack it; else that of the label that stands in,
    :data:`MEAN` or :data:`BACKGROUND`. InputError for another ``absent``, and for lacking labels
    with "error".
    """
    if absent not in get_args(Absent):
        raise InputError("{absent}: expected related, background, mean or error", absent=absent)
    lacking = labels_lacking(styles, wanted, model.token_labels)
    if absent == "error" and lacking.any():
        raise InputError(f"the subject's image lacks label {_numbers(lacking)}")
    standing_in = torch.full_like(lacking, BACKGROUND, dtype=torch.long)
    if absent == "mean":
        standing_in[:, model.mean_known] = MEAN
    if absent == "related" and model.one_style_space:
        standing_in = _nearest(model, styles.present.expand_as(lacking), standing_in)
    own = torch.arange(wanted.shape[1], device=wanted.device)
    return torch.where(lacking, standing_in, own)


def _nearest(model: Knowing, present: Tensor, otherwise: Tensor) -> Tensor:
    """The first related label that is ``present`` (B, L) of each label, else ``otherwise``."""
    related = model.groups.related
    for place in reversed(range(max(map(len, related), default=0))):
        having = [label for label, others in enumerate(related) if len(others) > place]
        others = [related[label][place] for label in having]
        found = present[:, others]
        number = torch.tensor(others, device=present.device)
        otherwise[:, having] = torch.where(found, number, otherwise[:, having])
    return otherwise


def filled(
    model: Knowing, styles: Styles, wanted: Tensor, background: Styles, absent: Absent
) -> Styles:
    """``styles`` with what stands in for the labels ``wanted`` (B, L) that it lacks.

    See :func:`sources`, which also says what is raised.
    """
    source = sources(model, styles, wanted, absent)
    mean = Styles(model.mean_tokens[None], model.mean_known[None])
    styles = of_labels(styles, source.clamp(min=0), model.token_labels)
    styles = select_tokens(mean, styles, source == MEAN, model.token_labels)
    return select_tokens(background, styles, source == BACKGROUND, model.token_labels)


def mixed(
    model: Knowing,
    subject: Styles,
    background: Styles,
    wanted: Tensor,
    background_labels: Sequence[int] = (0,),
    absent: Absent = "related",
) -> Styles:
    """Styles of ``subject`` in those of ``background``, for maps that hold the labels ``wanted``.

    See :meth:`scam.models.base.SynthesisModel.mix`.
    """
    num_labels, token_labels = wanted.shape[1], model.token_labels
    scene = torch.zeros(num_labels, dtype=torch.bool, device=wanted.device)
    scene[list(background_labels)] = True
    if absent in ("mean", "related"):
        needed = wanted & scene if absent == "mean" else wanted
        background = filled(model, background, needed, background, absent)
    subject = filled(model, subject, wanted & ~scene, background, absent)
    found = select_tokens(subject, background, ~scene.expand_as(wanted), token_labels)
    unknown = labels_lacking(found, wanted, token_labels)
    if unknown.any():
        also = " and the model's mean styles lack" if absent == "mean" else " lacks"
        hint = "" if absent == "mean" else ", or absent='mean'"
        raise InputError(
            f"the background image{also} label {_numbers(unknown)}, which the map needs: "
            f"expected another map{hint}"
        )
    return found


def _numbers(labels: Tensor) -> str:
    return ", ".join(str(i) for i in labels.any(0).nonzero().flatten().tolist())
