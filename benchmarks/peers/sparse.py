# SPDX-License-Identifier: Apache-2.0
"""Peers that sort the pixels by label first; sorting, gathering and undoing both are timed."""

import importlib.util
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers import Attend, Peer, ungrouped
from scam.testing import Inputs

NUM_LABELS = 256  # uint8 maps


def sort_and_multiply(inputs: Inputs) -> Tensor:
    """Sort by label, then one small attention per label: what ten lines of PyTorch can do."""
    query, key, value = ungrouped(inputs)
    scale = query.shape[-1] ** -0.5
    assert isinstance(inputs.query_labels, Tensor)
    assert isinstance(inputs.key_labels, Tensor)
    outs = []
    for b in range(query.shape[0]):
        order, counts, back = _sorted(inputs.query_labels[b])
        key_order, key_counts, _ = _sorted(inputs.key_labels[b])
        queries = query[b][:, order].split(counts, dim=1)
        keys = key[b][:, key_order].split(key_counts, dim=1)
        values = value[b][:, key_order].split(key_counts, dim=1)
        parts = [
            (q @ k.mT * scale).softmax(-1) @ v
            for q, k, v in zip(queries, keys, values, strict=True)
            if q.shape[1]
        ]
        outs.append(torch.cat(parts, dim=1)[:, back])
    return torch.stack(outs)


def _sorted(labels: Tensor) -> tuple[Tensor, list[int], Tensor]:
    """Order by label, elements per label (read by the host), and the inverse order."""
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels, minlength=NUM_LABELS).tolist()
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return order, counts, back


def _packed(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Query, key, value as (groups' elements, H, D), sorted by (image, label).

    Also elements per group of queries and of keys, and the queries' inverse order.
    """
    assert isinstance(inputs.query_labels, Tensor)
    assert isinstance(inputs.key_labels, Tensor)
    query, key, value = ungrouped(inputs)

    def groups(labels: Tensor) -> tuple[Tensor, Tensor]:
        picture = torch.arange(labels.shape[0], device=labels.device)[:, None] * NUM_LABELS
        group = (labels.long() + picture).flatten()
        return group.argsort(stable=True), torch.bincount(
            group, minlength=NUM_LABELS * labels.shape[0]
        )

    def rows(x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(0, 1)

    order, counts = groups(inputs.query_labels)
    key_order, key_counts = groups(inputs.key_labels)
    used = counts + key_counts > 0  # a kernel starts blocks for empty groups too
    counts, key_counts = counts[used], key_counts[used]
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return (
        rows(query)[order], rows(key)[key_order], rows(value)[key_order],
        counts, key_counts, back,
    )  # fmt: skip


def _unpacked(out: Tensor, back: Tensor, like: Tensor) -> Tensor:
    batch, _, count, _ = like.shape
    return out[back].unflatten(0, (batch, count)).transpose(1, 2)


def varlen(inputs: Inputs) -> Tensor:
    """torch.nn.attention.varlen over the sorted pixels."""
    from torch.nn.attention.varlen import varlen_attn

    query, key, value, counts, key_counts, back = _packed(inputs)
    most, most_keys = torch.stack([counts.max(), key_counts.max()]).tolist()

    def starts(counts: Tensor) -> Tensor:
        return torch.nn.functional.pad(counts.cumsum(0, dtype=torch.int32), (1, 0))

    out = varlen_attn(query, key, value, starts(counts), starts(key_counts), most, most_keys)
    assert isinstance(out, Tensor)
    return _unpacked(out, back, inputs.query)


def block_diagonal(inputs: Inputs) -> Tensor:
    """xformers' memory-efficient attention with a BlockDiagonalMask over the sorted pixels."""
    from xformers.ops import fmha

    query, key, value, counts, key_counts, back = _packed(inputs)
    present = counts > 0
    keep = present.repeat_interleave(key_counts)
    mask = fmha.attn_bias.BlockDiagonalMask.from_seqlens(
        counts[present].tolist(), key_counts[present].tolist()
    )
    out = fmha.memory_efficient_attention(
        query[None], key[keep][None], value[keep][None], attn_bias=mask
    )
    return _unpacked(out[0], back, inputs.query)


def _needs_half_on_cuda(name: str) -> Any:
    def refuses(inputs: Inputs, backward: bool) -> str | None:
        if inputs.query.device.type != "cuda":
            return f"{name} has no CPU kernels"
        if inputs.query.dtype not in (torch.float16, torch.bfloat16):
            return f"{name} knows float16 and bfloat16 only"
        return None

    return refuses


def _xformers_refuses(inputs: Inputs, backward: bool) -> str | None:
    if importlib.util.find_spec("xformers") is None:
        return "xformers is not installed (pip install -e '.[bench]')"
    refusal: str | None = _needs_half_on_cuda("xformers")(inputs, backward)
    return refusal


def _plain(function: Attend) -> Any:
    return lambda inputs: function


SPARSE = (
    Peer("sort + matmul per label", "sparse", _plain(sort_and_multiply), waits=True),
    Peer(
        "sorted varlen",
        "sparse",
        _plain(varlen),
        _needs_half_on_cuda("varlen attention"),
        waits=True,
    ),
    Peer(
        "xformers BlockDiagonalMask",
        "sparse",
        _plain(block_diagonal),
        _xformers_refuses,
        waits=True,
    ),
)
