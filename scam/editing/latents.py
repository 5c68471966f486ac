# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on the latents of images: swap, blend, interpolate, fill, average.

Pure functions of :class:`~scam.models.styles.Styles`; ``token_labels`` is the (m,) buffer of the
same name of the model that the latents belong to. A label that an image lacks has no evidence in
its latents, so they are never mixed into anything.
"""

from collections.abc import Collection, Iterable
from typing import SupportsFloat

import torch
from torch import Tensor

from scam.errors import InputError, quoted
from scam.models.styles import RunningMean, Styles, of_tokens


def shares(
    token_labels: Tensor, label: int, latent: int | None = None, weight: float = 1.0
) -> Tensor:
    """How much of each token :func:`blend` takes: ``weight`` for one label or one of its latents.

    Returns (m,), zero elsewhere. Add several up to edit several labels. InputError for a weight
    outside 0 .. 1, a label without tokens, or a latent that the label lacks.
    """
    if not isinstance(weight, SupportsFloat) or not 0 <= weight <= 1:
        raise InputError(f"weight {quoted(weight)}: expected 0 to 1")
    if bool((token_labels < 0).all()):
        raise InputError(
            f"label {quoted(label)}: this model has one style for the whole image, "
            "expected a whole subject"
        )
    known = hasattr(label, "__index__") and bool((token_labels == label).any())
    if not known:
        raise InputError(f"label {quoted(label)}: expected 0 to {int(token_labels.max())}")
    tokens = (token_labels == label).nonzero().flatten()
    if latent is not None:
        if not 0 <= latent < len(tokens):
            raise InputError(f"latent {latent} of label {label}: expected 0 to {len(tokens) - 1}")
        tokens = tokens[latent]
    share = torch.zeros(len(token_labels), device=token_labels.device)
    share[tokens] = weight
    return share


def blend(host: Styles, donor: Styles, share: Tensor, token_labels: Tensor) -> Styles:
    """Move each token from ``host`` towards ``donor`` by its ``share`` (m,) or (B, m), 0 .. 1.

    What the donor lacks stays the host's. A label that the host lacks is taken whole if the
    donor gives any of it. InputError for a share of another shape or outside 0 .. 1.
    """
    if share.shape not in ((len(token_labels),), (len(host), len(token_labels))):
        raise InputError(
            f"share has shape {tuple(share.shape)}: expected ({len(token_labels)},), one a token"
        )
    if not bool(((share >= 0) & (share <= 1)).all()):
        raise InputError("share: expected values from 0 to 1, as shares() makes them")
    share = share.expand(len(host), -1)
    # Tokens of the whole image have a column of their own, the last.
    num_labels = host.present.shape[1]
    asked = share.new_zeros(len(share), num_labels + 1).index_add_(
        1, token_labels % (num_labels + 1), (share > 0).to(share.dtype)
    )
    given = ((asked[:, :-1] > 0) | (asked[:, -1:] > 0)) & donor.present
    whole = of_tokens(given & ~host.present, token_labels) & (token_labels >= 0)
    start = torch.where(whole.unsqueeze(-1), donor.tokens, host.tokens)
    end = torch.where(of_tokens(given, token_labels).unsqueeze(-1), donor.tokens, start)
    tokens = torch.lerp(start, end, share[..., None].to(start.dtype))
    return Styles(tokens, host.present | given)


def swap(host: Styles, donor: Styles, labels: Collection[int], token_labels: Tensor) -> Styles:
    """Take all latents of ``labels`` from ``donor``, as far as it has them; keep the others."""
    none = torch.zeros(len(token_labels), device=token_labels.device)
    share = sum((shares(token_labels, label) for label in {*labels}), none)
    return blend(host, donor, share, token_labels)


def fill(latents: Styles, standin: Styles, token_labels: Tensor) -> Styles:
    """Fill labels that ``latents`` lack from ``standin``."""
    held = of_tokens(latents.present, token_labels).unsqueeze(-1)
    tokens = torch.where(held, latents.tokens, standin.tokens)
    return Styles(tokens, latents.present | standin.present)


def interpolate(first: Styles, last: Styles, count: int, token_labels: Tensor) -> Styles:
    """``count`` steps from one image's latents to another's, ends included: (count, m, d).

    Both hold one image. A label that only one of them has stays constant.
    InputError for fewer than 2 steps, or several images.
    """
    if not hasattr(count, "__index__") or count < 2:
        raise InputError(f"interpolation over {quoted(count)} images: expected 2 or more")
    way = torch.linspace(0, 1, count, dtype=first.tokens.dtype, device=first.tokens.device)
    return between(first, last, way, token_labels)


def between(first: Styles, last: Styles, way: Tensor, token_labels: Tensor) -> Styles:
    """The places ``way`` (N,), 0 .. 1, from one image's latents to another's: (N, m, d).

    See :func:`interpolate`; InputError for several images.
    """
    if len(first) != 1 or len(last) != 1:
        raise InputError(
            f"interpolation from {len(first)} images to {len(last)}: expected one and one"
        )
    first, last = fill(first, last, token_labels), fill(last, first, token_labels)
    tokens = torch.lerp(first.tokens, last.tokens, way[:, None, None])
    return Styles(tokens, first.present.expand(len(way), -1))


def mean(latents: Iterable[Styles], token_labels: Tensor) -> Styles:
    """The mean of batches of latents, taken one batch at a time; see :class:`RunningMean`."""
    running = RunningMean(token_labels)
    for batch in latents:
        running.add(batch)
    return running.styles()
