# SPDX-License-Identifier: Apache-2.0
"""The styles of a subject in those of a background image."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from scam.errors import InputError
from scam.models.inputs import checked_numbers
from scam.models.styles import Styles, select_tokens

Absent = Literal["background", "mean", "error"]
"""What stands in for a label that an image lacks: the background image's style, the mean style of
training images, or nothing."""


def labels_lacking(styles: Styles, wanted: Tensor, token_labels: Tensor) -> Tensor:
    """Those of the labels ``wanted`` (B, L) that ``styles`` have tokens for, but no evidence of.

    Where tokens are of the whole image these are none: any label is generated from them.
    """
    labels = torch.arange(wanted.shape[1], device=wanted.device)
    return wanted & ~styles.present & torch.isin(labels, token_labels)


def filled(
    styles: Styles,
    wanted: Tensor,
    background: Styles,
    mean: Styles,
    token_labels: Tensor,
    absent: Absent,
) -> Styles:
    """``styles`` with what stands in for the labels ``wanted`` (B, L) that it lacks.

    That is the background's style; with "mean" first ``mean``, of training images, where it is
    known. InputError for lacking labels with "error", and for another ``absent``.
    """
    if absent not in get_args(Absent):
        raise InputError("{absent}: expected background, mean or error", absent=absent)
    lacking = labels_lacking(styles, wanted, token_labels)
    if absent == "error" and lacking.any():
        raise InputError(f"the subject's picture lacks label {_numbers(lacking)}")
    if absent == "mean":
        styles = select_tokens(mean, styles, lacking & mean.present, token_labels)
        lacking = lacking & ~mean.present
    return select_tokens(background, styles, lacking, token_labels)


def mixed(
    subject: Styles,
    background: Styles,
    mean: Styles,
    wanted: Tensor,
    token_labels: Tensor,
    background_labels: Sequence[int] = (0,),
    absent: Absent = "background",
) -> Styles:
    """Styles of ``subject`` in those of ``background``, for maps that hold the labels ``wanted``.

    See :meth:`scam.models.base.SynthesisModel.mix`.
    """
    num_labels = wanted.shape[1]
    scene = torch.zeros(num_labels, dtype=torch.bool, device=wanted.device)
    scene[checked_numbers(background_labels, num_labels, "background_labels")] = True
    subject = filled(subject, wanted & ~scene, background, mean, token_labels, absent)
    if absent == "mean":
        background = filled(background, wanted & scene, background, mean, token_labels, absent)
    found = select_tokens(subject, background, ~scene.expand_as(wanted), token_labels)
    unknown = labels_lacking(found, wanted, token_labels)
    if unknown.any():
        also = " and the model's mean styles lack" if absent == "mean" else " lacks"
        hint = "" if absent == "mean" else ", or absent='mean'"
        raise InputError(
            f"the background picture{also} label {_numbers(unknown)}, which the map wants: "
            f"expected another map{hint}"
        )
    return found


def _numbers(labels: Tensor) -> str:
    return ", ".join(str(i) for i in labels.any(0).nonzero().flatten().tolist())
