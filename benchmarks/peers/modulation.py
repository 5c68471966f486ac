# SPDX-License-Identifier: Apache-2.0
"""The half of a SCAM operation in which pixels read tokens, written in several ways.

*As written*: every pixel is projected to a query and its answer back, as the paper's code does.
*Absorbed*: the same algebra with all projections folded into the few tokens; any attention may
profit from it, so each peer is measured both ways.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from scam.nn.sat import LEAK
from scam.ops import semantic_cross_attention, semantic_modulation


@dataclass(frozen=True)
class Half:
    """One problem. m tokens, T their width, A the attention's, C the channels of the map."""

    x: Tensor  # (B, C, H, W)
    tokens: Tensor  # (B, m, T)
    labels: Tensor  # (B, H, W)
    token_labels: Tensor  # (B, m)
    position: Tensor  # (C, H, W)
    noise: Tensor  # (B, 1, H, W)
    w_query: Tensor  # (A, C)
    b_query: Tensor  # (A,)
    w_key: Tensor  # (A, T)
    w_value: Tensor  # (A, T)
    b_value: Tensor  # (A,)
    w_out: Tensor  # (C, A)
    b_out: Tensor  # (C,)
    w_gamma_beta: Tensor  # (2C, C)
    b_gamma_beta: Tensor  # (2C,)
    noise_scale: Tensor  # (C,)

    def to(self, dtype: torch.dtype) -> "Half":
        """The same numbers in another dtype."""
        return self._map(lambda name, t: t.to(dtype) if t.is_floating_point() else t)

    def leaves(self) -> tuple["Half", dict[str, Tensor]]:
        """The same memory with gradients for everything but constants, and what gets them."""
        half = self._map(lambda name, t: t.detach().requires_grad_(_learns(name, t)))
        named = {f.name: getattr(half, f.name) for f in fields(half)}
        return half, {name: t for name, t in named.items() if t.requires_grad}

    def _map(self, function: Callable[[str, Tensor], Tensor]) -> "Half":
        return replace(
            self, **{f.name: function(f.name, getattr(self, f.name)) for f in fields(self)}
        )


def _learns(name: str, tensor: Tensor) -> bool:
    return tensor.is_floating_point() and name not in ("position", "noise")


Modulate = Callable[[Half], Tensor]
Attend = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float, Tensor | None], Tensor]
"""query (B, N, D), key (B, m, D), value (B, m, E), labels, scale, bias (B, m) -> (B, N, E)"""


def absorbed_tokens(half: Half) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tokens -> keys (B, m, C), key_bias (B, m), gamma and beta (B, m, C), scale inside."""
    scale = half.w_query.shape[0] ** -0.5
    keys, values = half.tokens @ half.w_key.t(), F.linear(half.tokens, half.w_value, half.b_value)
    head = F.linear(F.linear(values, half.w_out, half.b_out), half.w_gamma_beta, half.b_gamma_beta)
    gamma, beta = head.chunk(2, dim=-1)
    return keys @ half.w_query * scale, keys @ half.b_query * scale, gamma, beta


def ours(half: Half) -> Tensor:
    """Fold the projections into the tokens, then one op."""
    return ours_given_tokens(half, *absorbed_tokens(half))


def ours_given_tokens(
    half: Half, keys: Tensor, key_bias: Tensor, gamma: Tensor, beta: Tensor
) -> Tensor:
    """The op alone."""
    return semantic_modulation(
        half.x,
        half.labels,
        keys.unsqueeze(1),
        key_bias.unsqueeze(1),
        gamma.unsqueeze(1),
        beta.unsqueeze(1),
        half.token_labels,
        position=half.position,
        noise=half.noise,
        noise_scale=half.noise_scale,
        negative_slope=LEAK,
    )


def as_written(attend: Attend) -> Modulate:
    """Q, K, V, attention, O, gamma and beta, norm, noise, activation, one after the other."""

    def modulate(half: Half) -> Tensor:
        query = F.linear(_pixels(half), half.w_query, half.b_query)
        key, value = (
            half.tokens @ half.w_key.t(),
            F.linear(half.tokens, half.w_value, half.b_value),
        )
        scale = query.shape[-1] ** -0.5
        mixed = attend(query, key, value, half.labels.flatten(1), half.token_labels, scale, None)
        out = F.linear(mixed, half.w_out, half.b_out)
        return _apply(half, F.linear(out, half.w_gamma_beta, half.b_gamma_beta))

    return modulate


def absorbed(attend: Attend) -> Modulate:
    """The attention over C channels of unprojected pixels, its values gamma and beta at once."""

    def modulate(half: Half) -> Tensor:
        keys, bias, gamma, beta = absorbed_tokens(half)
        values = torch.cat([gamma, beta], dim=-1)
        labels = half.labels.flatten(1)
        return _apply(
            half, attend(_pixels(half), keys, values, labels, half.token_labels, 1.0, bias)
        )

    return modulate


def _pixels(half: Half) -> Tensor:
    return (half.x + half.position).flatten(2).transpose(1, 2)


def _apply(half: Half, gamma_beta: Tensor) -> Tensor:
    gamma, beta = gamma_beta.transpose(1, 2).unflatten(2, half.x.shape[2:]).chunk(2, dim=1)
    # One group per channel is an instance norm. F.instance_norm itself gives a wrong gradient for
    # one image on a CPU when the gradient that arrives is channels-last (torch 2.15).
    y = (1 + gamma) * F.group_norm(half.x, half.x.shape[1]) + beta
    return F.leaky_relu(y + half.noise_scale[:, None, None] * half.noise, LEAK)


def eager_attend(
    query: Tensor, key: Tensor, value: Tensor, labels: Tensor, key_labels: Tensor,
    scale: float, bias: Tensor | None,
) -> Tensor:  # fmt: skip
    """Masked softmax over all pairs."""
    logits = query @ key.mT * scale
    if bias is not None:
        logits = logits + bias[:, None]
    visible = labels[:, :, None] == key_labels[:, None]
    return logits.masked_fill(~visible, -1e4).softmax(-1) @ value


def sdpa_attend(
    query: Tensor, key: Tensor, value: Tensor, labels: Tensor, key_labels: Tensor,
    scale: float, bias: Tensor | None,
) -> Tensor:  # fmt: skip
    """PyTorch's attention under a mask."""
    mask = labels[:, :, None] == key_labels[:, None]
    if bias is not None:
        mask = bias[:, None].masked_fill(~mask, -torch.inf)
    q, k, v = (x.unsqueeze(1) for x in (query, key, value))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.unsqueeze(1), scale=scale)
    return out.squeeze(1)


def sort_attend(
    query: Tensor, key: Tensor, value: Tensor, labels: Tensor, key_labels: Tensor,
    scale: float, bias: Tensor | None,
) -> Tensor:  # fmt: skip
    """One small attention per label; tokens come grouped by label, in label order."""
    outs = []
    for b in range(query.shape[0]):
        order = labels[b].argsort(stable=True)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        most = int(key_labels[b, -1]) + 1
        counts = torch.bincount(labels[b], minlength=most).tolist()
        owned = torch.bincount(key_labels[b], minlength=most).tolist()
        biases = (key.new_zeros(key.shape[1]) if bias is None else bias[b]).split(owned)
        groups = zip(
            query[b][order].split(counts), key[b].split(owned), value[b].split(owned), biases,
            strict=True,
        )  # fmt: skip
        parts = [(q @ k.t() * scale + own).softmax(-1) @ v for q, k, v, own in groups if len(q)]
        outs.append(torch.cat(parts)[back])
    return torch.stack(outs)


def op_attend(
    query: Tensor, key: Tensor, value: Tensor, labels: Tensor, key_labels: Tensor,
    scale: float, bias: Tensor | None,
) -> Tensor:  # fmt: skip
    """Our attention op without the modulation op."""
    assert bias is None, "the op knows no bias"
    q, k, v = (x.unsqueeze(1) for x in (query, key, value))
    return semantic_cross_attention(q, k, v, labels, key_labels, scale=scale).squeeze(1)


CONTENDERS: dict[str, tuple[str, Modulate]] = {
    "ours": ("ours", ours),
    "attention op, as written": ("part", as_written(op_attend)),
    "eager, as SCAM writes it": ("dense", as_written(eager_attend)),
    "eager, absorbed": ("dense", absorbed(eager_attend)),
    "SDPA, as SCAM writes it": ("dense", as_written(sdpa_attend)),
    "SDPA, absorbed": ("dense", absorbed(sdpa_attend)),
    "sort + matmul, as SCAM writes it": ("sparse", as_written(sort_attend)),
    "sort + matmul, absorbed": ("sparse", absorbed(sort_attend)),
}
