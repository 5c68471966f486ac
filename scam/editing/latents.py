# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on the latents of images: swap, blend, interpolate, fill, average.

Functions of :class:`~scam.models.styles.Styles` and the model that they belong to, which change
neither. A label that an image lacks has no evidence in its latents, so they are never mixed into
anything.
"""

from collections.abc import Iterable
from typing import SupportsFloat

import torch
from torch import Tensor

from scam.data.label_words import LabelWords
from scam.errors import InputError, quoted, type_of
from scam.models.base import SynthesisModel
from scam.models.styles import RunningMean, Styles, expect_styles, of_tokens


def _expect(model: SynthesisModel, **styles: Styles) -> None:
    """InputError unless all are what their annotations say."""
    for name, given in styles.items():
        expect_styles(given, name)
    if not isinstance(model, SynthesisModel):
        raise InputError(f"model is {type_of(model)}: expected one, as scam.load returns it")


def shares(
    model: SynthesisModel, labels: LabelWords, latent: int | None = None, weight: float = 1.0
) -> Tensor:
    """How much of each token :func:`blend` takes: ``weight`` for labels or one latent of each.

    labels: see :meth:`SynthesisModel.labels_of`. Returns (m,), zero elsewhere. Add several up to
    edit labels to different degrees. InputError for a weight outside 0 .. 1, an unknown label, or
    a latent that a label lacks.
    """
    _expect(model)
    if not isinstance(weight, SupportsFloat) or not 0 <= weight <= 1:
        raise InputError(f"weight {quoted(weight)}: expected 0 to 1")
    of = model.token_labels
    if bool((of < 0).all()):
        raise InputError(
            f"label {quoted(labels)}: this model has one style for the whole image, "
            "expected a whole subject"
        )
    share = torch.zeros(len(of), device=of.device)
    for label in model.labels_of(labels):
        tokens = (of == label).nonzero().flatten()
        if latent is not None and not 0 <= latent < len(tokens):
            raise InputError(f"latent {latent} of label {label}: expected 0 to {len(tokens) - 1}")
        share[tokens if latent is None else tokens[latent]] = weight
    return share


def blend(host: Styles, donor: Styles, share: Tensor, model: SynthesisModel) -> Styles:
    """Move each token from ``host`` towards ``donor`` by its ``share`` (m,) or (B, m), 0 .. 1.

    What the donor lacks stays the host's. A label that the host lacks is taken whole if the
    donor gives any of it. InputError for a share of another shape or outside 0 .. 1, and for
    anything but Styles, such as their tokens.
    """
    _expect(model, host=host, donor=donor)
    token_labels = model.token_labels
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


def swap(host: Styles, donor: Styles, labels: LabelWords, model: SynthesisModel) -> Styles:
    """Take all latents of ``labels`` from ``donor``, as far as it has them; keep the others.

    labels: see :meth:`SynthesisModel.labels_of`. InputError as :func:`blend`.
    """
    _expect(model, host=host, donor=donor)
    return blend(host, donor, shares(model, labels), model)


def fill(latents: Styles, standin: Styles, model: SynthesisModel) -> Styles:
    """Fill labels that ``latents`` lack from ``standin``. InputError for anything but Styles."""
    _expect(model, latents=latents, standin=standin)
    held = of_tokens(latents.present, model.token_labels).unsqueeze(-1)
    tokens = torch.where(held, latents.tokens, standin.tokens)
    return Styles(tokens, latents.present | standin.present)


def interpolate(first: Styles, last: Styles, count: int, model: SynthesisModel) -> Styles:
    """``count`` steps from one image's latents to another's, ends included: (count, m, d).

    Both hold one image. A label that only one of them has stays constant.
    InputError for fewer than 2 steps, several images, or anything but Styles.
    """
    _expect(model, first=first, last=last)
    if not hasattr(count, "__index__") or count < 2:
        raise InputError(f"interpolation over {quoted(count)} images: expected 2 or more")
    way = torch.linspace(0, 1, count, dtype=first.tokens.dtype, device=first.tokens.device)
    return between(first, last, way, model)


def between(first: Styles, last: Styles, way: Tensor, model: SynthesisModel) -> Styles:
    """The places ``way`` (N,), 0 .. 1, from one image's latents to another's: (N, m, d).

    See :func:`interpolate`; InputError for several images.
    """
    if len(first) != 1 or len(last) != 1:
        raise InputError(
            f"interpolation from {len(first)} images to {len(last)}: expected one and one"
        )
    first, last = fill(first, last, model), fill(last, first, model)
    tokens = torch.lerp(first.tokens, last.tokens, way[:, None, None])
    return Styles(tokens, first.present.expand(len(way), -1))


def mean(latents: Iterable[Styles], model: SynthesisModel) -> Styles:
    """The mean of batches of latents, taken one batch at a time; see :class:`RunningMean`.

    InputError for anything but Styles.
    """
    _expect(model)
    running = RunningMean(model.token_labels)
    for batch in latents:
        running.add(batch)
    return running.styles()
