# SPDX-License-Identifier: Apache-2.0
"""The ops in plain PyTorch: oracle, fallback and baseline. Any dtype, device, order of gradient.

Attention and modulation are dense: every query meets every key, as in the paper's equation.
Finite numbers in keys and values of other labels change nothing, bit for bit; nor do infinities
and NaN in keys that *no* query sees, in queries that see no key and in the gradients that arrive
at them. But a non-finite number that one query sees reaches all of them through the dense product
(0 * NaN).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from scam.ops.affine_call import AffineCall
from scam.ops.attention_call import AttentionCall, empty_output
from scam.ops.autocast import to_autocast_dtype, without_autocast
from scam.ops.modulation_call import ModulationCall


def visibility(query_labels: Tensor, key_labels: Tensor) -> Tensor:
    """Who sees whom: labels (B, Nq) and (B, Nk) -> bool (B, 1, Nq, Nk)."""
    queries, keys = query_labels[:, None, :, None], key_labels[:, None, None, :]
    return (queries == keys) & (queries >= 0)


def attend(call: AttentionCall, *, with_lse: bool = True) -> tuple[Tensor, Tensor | None]:
    """What :func:`scam.ops.semantic_cross_attention` means.

    Intermediates are fp32, or fp64 for fp64 inputs. Without ``with_lse`` None stands for lse.
    """
    query, key = to_autocast_dtype(call.query), to_autocast_dtype(call.key)
    values = key if call.value is None else to_autocast_dtype(call.value)
    with without_autocast(query.device.type):
        wide = torch.promote_types(query.dtype, torch.float32)
        visible = visibility(call.query_labels, call.key_labels)
        sees = visible.any(-1, keepdim=True)  # (B, 1, Nq, 1)
        seen = visible.any(-2).unsqueeze(-1)  # (B, 1, Nk, 1)
        q = query.to(wide).masked_fill(~sees, 0)
        k = key.to(wide).masked_fill(~seen, 0)
        v = values.to(wide)
        zero = call.empty == "zero"
        if zero:
            v = v.masked_fill(~seen, 0)
        if call.group > 1:
            k, v = (t.repeat_interleave(call.group, 1) for t in (k, v))

        # A row of equal logits stands in where nothing is seen: softmax of -inf alone is NaN.
        logits = (q @ k.mT * call.scale).masked_fill(~visible, -torch.inf).masked_fill(~sees, 0)
        # Zero already except in empty rows; masked so that no gradient passes: 0 * inf is NaN.
        weights = logits.softmax(-1).masked_fill(~visible if zero else ~visible & sees, 0)
        out = weights @ v
        if zero:  # already zero; masked again so that NaN in its gradient reaches no value
            out = out.masked_fill(~sees, 0)
        out = out.to(query.dtype)
        out = _as_laid_out(out, empty_output(query, out.shape[-1]).stride())
        if not with_lse:
            return out, None
        lse = _logsumexp(logits)
        return out, lse.masked_fill(~sees.squeeze(-1), -torch.inf) if zero else lse


def _logsumexp(logits: Tensor) -> Tensor:
    """Over the last axis, less the largest: torch's gradient reads weights off the result, and off
    a large one they are inexact."""
    if logits.shape[-1] == 0:
        return logits.logsumexp(-1)
    top = logits.detach().amax(-1, keepdim=True)
    return (logits - top).logsumexp(-1) + top.squeeze(-1)


def _as_laid_out(out: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Give ``out`` the memory layout that every backend promises."""
    order: list[int] = []  # axes from slow to fast; sorted() refuses strides unknown when compiled
    for axis in range(out.dim()):
        slower = [other for other in order if strides[other] >= strides[axis]]
        order.insert(len(slower), axis)
    inverse = [order.index(axis) for axis in range(out.dim())]
    return out.permute(order).contiguous().permute(inverse)


def modulate(call: ModulationCall) -> Tensor:
    """What :func:`scam.ops.semantic_modulation` means, on flattened pixels.

    Intermediates are fp32, or fp64 for fp64 inputs.
    """
    x, keys, key_bias, gamma, beta = (to_autocast_dtype(t) for t in (call.x, *call.tokens))
    optional = (call.position, *call.per_channel, call.noise)
    position, default_gamma, default_beta, noise_scale, noise = (
        None if t is None else to_autocast_dtype(t) for t in optional
    )
    with without_autocast(x.device.type):
        wide = torch.promote_types(x.dtype, torch.float32)
        values = x.to(wide)
        tokens = (keys, key_bias, gamma, beta)
        scale, shift = _scale_and_shift(
            values, call.labels, call.token_labels, *tokens, position, default_gamma, default_beta
        )
        centred = values - values.mean(-1, keepdim=True)
        variance = centred.square().mean(-1, keepdim=True)
        y = torch.addcmul(shift, scale, centred * (variance + call.eps).rsqrt())
        if noise is not None and noise_scale is not None:
            y = torch.addcmul(y, noise_scale.to(wide)[:, None], noise.to(wide)[:, None])
        y = F.leaky_relu(y, call.negative_slope).to(x.dtype)
    return _as_laid_out(y, torch.empty_like(x).stride())


def _scale_and_shift(
    x: Tensor,
    labels: Tensor,
    token_labels: Tensor,
    keys: Tensor,
    key_bias: Tensor,
    gamma: Tensor,
    beta: Tensor,
    position: Tensor | None,
    default_gamma: Tensor | None,
    default_beta: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """``1 + gamma`` and ``beta`` of every pixel of x (B, C, N), each (B, C, N)."""
    visible = visibility(labels, token_labels)
    sees = visible.any(-1, keepdim=True)  # (B, 1, N, 1)
    seen = visible.any(-2).unsqueeze(-1)  # (B, 1, m, 1)
    keys, gamma, beta = (t.to(x.dtype).masked_fill(~seen, 0) for t in (keys, gamma, beta))
    key_bias = key_bias.to(x.dtype).masked_fill(~seen.squeeze(-1), 0)
    pixels = (x if position is None else x + position.to(x.dtype)).mT.unsqueeze(1)
    # Pixels that see nothing need finite logits: 0 * NaN in a gradient is NaN.
    pixels = pixels.masked_fill(~sees, 0)
    logits = (pixels @ keys.mT + key_bias.unsqueeze(-2)).masked_fill(~visible, -torch.inf)
    weights = logits.masked_fill(~sees, 0).softmax(-1).masked_fill(~visible, 0)
    mixed = []
    for tokens, default, constant in ((gamma, default_gamma, 1.0), (beta, default_beta, 0.0)):
        read = (weights @ tokens).sum(1)  # (B, N, C)
        others = x.new_zeros(1) if default is None else default.to(x.dtype).unsqueeze(1)
        # Zeros where nothing is seen are masked again: 0 * NaN in a gradient is NaN.
        read = torch.where(sees.squeeze(1), read, others)
        mixed.append((read + constant).mT)
    return mixed[0], mixed[1]


def look_up(call: AffineCall) -> Tensor:
    """What :func:`scam.ops.indexed_affine` means, on flattened pixels.

    Intermediates are fp32, or fp64 for fp64 inputs. Gradients of the tables are added pixel after
    pixel, so that an fp32 sum over a large region is as exact as that.
    """
    x, *tables = (to_autocast_dtype(t) for t in (call.x, call.scale, call.shift))
    with without_autocast(x.device.type):
        wide = torch.promote_types(x.dtype, torch.float32)
        rows, index = call.scale.shape[0], call.index.long()
        outside = (index < 0) | (index >= rows)
        index = index.masked_fill(outside, rows)  # a row of zeros, added for them
        scale, shift = (
            F.embedding(index, F.pad(table.to(wide), (0, 0, 0, 1))).mT for table in tables
        )
        outside = outside.unsqueeze(1)
        # What is not finite outside must reach no gradient: 0 * NaN is NaN.
        values = x.to(wide).masked_fill(outside, 0)
        if call.mean is not None and call.rstd is not None:
            values = (values - call.mean.unsqueeze(-1)) * call.rstd.unsqueeze(-1)
        y = F.leaky_relu(torch.addcmul(shift, scale, values), call.negative_slope)
        y = y.masked_fill(outside, 0).to(x.dtype)
    return _as_laid_out(y, torch.empty_like(x).stride())
