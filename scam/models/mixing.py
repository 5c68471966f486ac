# SPDX-License-Identifier: Apache-2.0
"""The styles of a subject in those of a background image."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from scam.errors import InputError, quoted
from scam.models.inputs import checked_numbers
from scam.models.styles import Styles, select_tokens

Absent = Literal["background", "mean", "error"]
"""What stands in for a label that an image lacks: the background image's style, the mean style of
training images, or nothing."""


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

    See :meth:`scam.models.base.SynthesisModel.mix`; mean: of training images, one for all.
    """
    if absent not in get_args(Absent):
        raise InputError(f"absent={quoted(absent)}: expected background, mean or error")
    num_labels = wanted.shape[1]
    scene = torch.zeros(num_labels, dtype=torch.bool, device=wanted.device)
    scene[checked_numbers(background_labels, num_labels, "background_labels")] = True
    missing = wanted & ~scene & ~subject.present
    if absent == "error" and missing.any():
        raise InputError(f"the subject's picture lacks label {_numbers(missing)}")
    if absent == "mean":
        averaged = (missing | (wanted & scene & ~background.present)) & mean.present
        background = select_tokens(mean, background, averaged, token_labels)
    unknown = (missing | (wanted & scene)) & ~background.present
    if unknown.any():
        also = " and the model's mean latents lack" if absent == "mean" else " lacks"
        hint = "" if absent == "mean" else ", or absent='mean'"
        raise InputError(
            f"the background picture{also} label {_numbers(unknown)}, which the map wants: "
            f"expected another map{hint}"
        )
    return select_tokens(subject, background, ~scene & ~missing, token_labels)


def _numbers(labels: Tensor) -> str:
    return ", ".join(str(i) for i in labels.any(0).nonzero().flatten().tolist())
