# SPDX-License-Identifier: Apache-2.0
"""What styles are fitted to, step by step, for each role that they may have in an edit."""

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from scam.data.warp import warp_batch
from scam.errors import InputError
from scam.models.prepared_labels import PreparedLabels
from scam.models.styles import Styles

Role = Literal["alone", "host", "donor"]
"""What styles serve. alone: their image. host: their image's label map, where some labels take the
styles of other images. donor: other label maps. Fitted to their image alone, styles are worse in
the other roles than those that no step has changed (docs/editing.md)."""
_SHARE = 1.5
"""Other tokens of a host are at most so many times as far from the mean as its own, each way."""
Prepare = Callable[[Tensor], PreparedLabels]


class Others(NamedTuple):
    """What the tokens of some labels are while the rest is fitted.

    kept: tokens (m,) bool that are fitted; the others are those of ``instead`` (B, m, d).
    counted: pixels (B, 1, H, W) bool of the labels kept.
    """

    kept: Tensor
    instead: Tensor
    counted: Tensor


class View(NamedTuple):
    """An image (B, 3, H, W) and its label map; without ``others`` all tokens are fitted."""

    image: Tensor
    labels: PreparedLabels
    others: Others | None = None


def views_for(
    role: Role,
    image: Tensor,
    labels: PreparedLabels,
    styles: Styles,
    mean: Tensor,
    token_labels: Tensor,
    prepare: Prepare,
) -> Iterator[View]:
    """Without end. styles: those encoded. mean (m, d): of training images, token by token.

    What is drawn at random is the same for every image of a batch, and in every call.
    """
    if role not in get_args(Role):
        raise InputError(f"{{role}}: expected {', '.join(get_args(Role))}", role=role)
    if role == "donor":
        return _warped(image, labels, prepare)
    if role == "host":
        return _among_others(image, labels, styles, mean, token_labels)
    return repeat(View(image, labels))


def _warped(image: Tensor, labels: PreparedLabels, prepare: Prepare) -> Iterator[View]:
    """Image and label map by turns as they are and warped."""
    random = np.random.default_rng(0)
    while True:
        yield View(image, labels)
        warped, moved = warp_batch(image, labels.labels, random)
        yield View(warped, prepare(moved))


def _among_others(
    image: Tensor, labels: PreparedLabels, styles: Styles, mean: Tensor, token_labels: Tensor
) -> Iterator[View]:
    """By turns with all of the image's tokens, and with other ones for about half of the labels.

    Norms and convolutions tell each label of the others. The other tokens lie on the line through
    the image's own and the mean, which needs no other image.
    """
    own, count = styles.tokens.detach(), styles.present.shape[1]
    generator = torch.Generator().manual_seed(0)
    while True:
        yield View(image, labels)
        # A token of the whole image has the label `count`, and is always kept.
        kept = torch.cat([torch.rand(count, generator=generator) < 0.5, torch.ones(1).bool()])
        share = _SHARE * (2 * torch.rand(count + 1, generator=generator) - 1)
        kept, share = kept.to(mean.device), share.to(mean)
        instead = mean + share[token_labels, None] * (own - mean)
        pixels = labels.labels.unsqueeze(1)
        counted = kept[pixels.clamp(min=0).long()] & (pixels >= 0)
        yield View(image, labels, Others(kept[token_labels], instead, counted))
