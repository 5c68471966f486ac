# SPDX-License-Identifier: Apache-2.0
"""``semantic_cross_attention``: checks, the choice of a backend, the call."""

from typing import Literal, cast, overload

from torch import Tensor

from scam.ops import attention_library, dispatch, reference
from scam.ops.attention_call import AttentionCall
from scam.ops.layout import Labels, most_of, open_labels_of
from scam.ops.problem import Empty, check_number, check_problem


@overload
def semantic_cross_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    query_labels: Labels,
    key_labels: Labels,
    *,
    scale: float | None = ...,
    empty: Empty = ...,
    return_lse: Literal[False] = ...,
    backend: str | None = ...,
) -> Tensor: ...


@overload
def semantic_cross_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    query_labels: Labels,
    key_labels: Labels,
    *,
    scale: float | None = ...,
    empty: Empty = ...,
    return_lse: Literal[True],
    backend: str | None = ...,
) -> tuple[Tensor, Tensor]: ...


def semantic_cross_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    query_labels: Labels,
    key_labels: Labels,
    *,
    scale: float | None = None,
    empty: Empty = "zero",
    return_lse: bool = False,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention in which a query sees only the keys of its own label.

    ::

        out[b, h, i] = sum_j softmax_j(scale * <query[b, h, i], key[b, g, j]>) value[b, g, j]
        over the j with key_labels[b, j] == query_labels[b, i] >= 0,   g = h // (H // Hkv)

    Source: SCAM (ECCV 2022), the equation of semantic cross attention, with a true mask where the
    paper adds a large negative number. Costs what the visible pairs cost, not Nq * Nk, except
    with ``backend="reference"``.

    Logits may be of any size that is finite in fp32 (fp64 for fp64): a weight is at most 1 and has
    a relative error of about eps times the largest product that its logit adds up, forward and
    backward alike, as in plain PyTorch. With 16-bit values, where keys outnumber queries,
    gradients also carry the rounding of ``out``. NaN that a query sees makes its row NaN.

    Args:
        query: (B, H, Nq, D), any floating dtype and any strides.
        key: (B, Hkv, Nk, D), Hkv a divisor of H; dtype of the query (autocast excepted).
        value: (B, Hkv, Nk, Dv), or None: the keys are the values, read once, one gradient.
        query_labels: (B, Nq) or (Nq,), uint8, int8, int16, int32 or int64, or a layout of them.
            Negative: sees nothing. In uint8, 255 is a label like any other.
        key_labels: (B, Nk) or (Nk,), likewise. Negative: seen by no query.
        scale: factor of the logits, default 1 / sqrt(D).
        empty: what a query that sees no key gets. ``"zero"``: out 0, lse -inf, gradient 0.
            ``"uniform"``: the mean of all Nk values (what the paper's formula and the released
            code give), lse log(Nk), gradient to ``value`` only.
        return_lse: also return the logarithm of the softmax's denominator; differentiable.
        backend: a name in :func:`scam.ops.backend_names` forces one; None chooses. All but
            ``"reference"`` give first-order, reverse-mode gradients only, and refuse others:
            of second order, of ``torch.autograd.forward_ad``, of ``torch.func.grad`` and ``jvp``.

    Returns:
        out (B, H, Nq, Dv), in the query's order of axes when Dv == D, else contiguous; with
        ``return_lse`` also lse (B, H, Nq), fp32 (fp64 for fp64), -inf only where nothing is seen.

    Raises:
        TypeError: an argument that is not a tensor, or of a dtype that does not fit.
        ValueError: shapes or devices that do not fit, or a forced backend that cannot serve.
    """
    problem = check_problem(query, key, value, scale, empty)
    q_labels, q_order, q_offsets = open_labels_of("query_labels", query_labels, query)
    k_labels, k_order, k_offsets = open_labels_of("key_labels", key_labels, key)
    scale = query.shape[-1] ** -0.5 if scale is None else check_number("scale", scale)
    chosen = dispatch.choose(problem, backend)
    inputs = (query, key, value, q_labels, k_labels)
    layout = (q_order, q_offsets, k_order, k_offsets)
    if chosen == dispatch.REFERENCE:
        call = AttentionCall(*inputs, layout, scale, empty)
        out, lse = reference.attend(call, with_lse=return_lse)
    else:
        most = (most_of(query_labels), most_of(key_labels))
        options = (scale, empty, chosen, *most)
        out, lse, _ = attention_library.sca_fwd(*inputs, *layout, *options)
    return (out, cast(Tensor, lse)) if return_lse else out


def explain(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    query_labels: Labels,
    key_labels: Labels,
    *,
    scale: float | None = None,
    empty: Empty = "zero",
    return_lse: bool = False,
    backend: str | None = None,
) -> dict[str, list[str]]:
    """Why each backend can or cannot serve these arguments of :func:`semantic_cross_attention`.

    ``return_lse`` and ``backend`` change nothing: with them the arguments are a call's.

    Returns:
        Backend name -> reasons against it, in order of preference; [] means that it can.

    Raises:
        TypeError, ValueError: as :func:`semantic_cross_attention`.
    """
    problem = check_problem(query, key, value, scale, empty)
    open_labels_of("query_labels", query_labels, query)
    open_labels_of("key_labels", key_labels, key)
    return dispatch.explain_problem(problem, backend)
