# SPDX-License-Identifier: Apache-2.0
"""Inputs of semantic cross attention, and its results held against an fp64 oracle."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scam.ops import Labels, semantic_cross_attention
from scam.ops.problem import Empty
from scam.testing.budget import assert_within_budget

MEMORY = ("contiguous", "channels_first", "channels_last", "sliced", "expanded")


@dataclass(frozen=True)
class Inputs:
    """Arguments of :func:`scam.ops.semantic_cross_attention`, shapes and dtypes as there."""

    query: Tensor
    key: Tensor
    value: Tensor | None
    query_labels: Labels
    key_labels: Labels

    def to(self, dtype: torch.dtype) -> "Inputs":
        """The same numbers in another dtype."""
        value = None if self.value is None else self.value.to(dtype)
        return replace(self, query=self.query.to(dtype), key=self.key.to(dtype), value=value)

    def leaves(self) -> "Inputs":
        """The same memory, with gradients collected separately."""
        value = None if self.value is None else self.value.detach().requires_grad_()
        query, key = self.query.detach().requires_grad_(), self.key.detach().requires_grad_()
        return replace(self, query=query, key=key, value=value)

    def arguments(
        self,
    ) -> tuple[Tensor, Tensor, Tensor | None, Labels, Labels]:
        """In the order of the op's parameters."""
        return self.query, self.key, self.value, self.query_labels, self.key_labels


def make_inputs(
    *,
    batch: int = 2,
    heads: int = 2,
    key_heads: int | None = None,
    queries: int = 37,
    keys: int = 24,
    width: int = 16,
    value_width: int | None = None,
    num_labels: int = 5,
    shared_value: bool = False,
    memory: str = "contiguous",
    reach: float | None = None,
    offset: float = 0.0,
    label_dtype: torch.dtype = torch.int64,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 0,
) -> Inputs:
    """Draw inputs: unsorted labels, some ignored (in signed dtypes), the last absent from keys.

    ``memory`` lays out query, key and value (B, H, N, D): ``contiguous``; ``channels_first`` and
    ``channels_last`` as views of (B, H * D, N) and (B, N, H * D); ``sliced`` out of wider rows;
    ``expanded`` over the batch (stride 0). ``reach`` is about the largest logit at the default
    scale, reached by queries and keys alike; ``offset`` is added to all keys.
    """
    random = torch.Generator().manual_seed(seed)
    key_heads = heads if key_heads is None else key_heads

    def draw(heads: int, count: int, width: int) -> Tensor:
        return torch.randn(batch, heads, count, width, generator=random, dtype=torch.float64)

    def laid(flat: Tensor) -> Tensor:
        return lay_out(flat.to(device, dtype), memory)

    def labels(count: int, up_to: int) -> Tensor:
        lowest = -1 if label_dtype.is_signed else 0
        drawn = torch.randint(lowest, max(1, up_to), (batch, count), generator=random)
        return drawn.to(device, label_dtype)

    query, key = draw(heads, queries, width), draw(key_heads, keys, width) + offset
    if reach is not None and query.numel() and key.numel():
        logits = query @ key.repeat_interleave(heads // key_heads, 1).mT * width**-0.5
        factor = (reach / float(logits.abs().max())) ** 0.5
        query, key = query * factor, key * factor
    return Inputs(
        query=laid(query),
        key=laid(key),
        value=None if shared_value else laid(draw(key_heads, keys, value_width or width)),
        query_labels=labels(queries, num_labels),
        key_labels=labels(keys, num_labels - 1),
    )


def lay_out(tensor: Tensor, memory: str) -> Tensor:
    """Copy (B, H, N, D) into one of the layouts in ``MEMORY``; ``expanded`` repeats item 0."""
    if memory == "channels_first":
        return tensor.mT.contiguous().mT
    if memory == "channels_last":
        return tensor.transpose(1, 2).contiguous().transpose(1, 2)
    if memory == "sliced":
        wider = tensor.new_full((*tensor.shape[:-1], tensor.shape[-1] + 3), torch.nan)
        wider[..., 1:-2] = tensor
        return wider[..., 1:-2]
    if memory == "expanded":
        return tensor[:1].expand(tensor.shape)
    if memory != "contiguous":
        raise ValueError(f"memory: expected one of {', '.join(MEMORY)}, got {memory!r}")
    return tensor.contiguous()


def outcome(
    inputs: Inputs,
    *,
    backend: str | None,
    empty: Empty = "zero",
    scale: float | None = None,
    rounded_to: torch.dtype | None = None,
    grad_memory: str = "contiguous",
    seed: int = 1,
) -> dict[str, Tensor]:
    """Run forward and backward; return out, lse, grad_query, grad_key and grad_value (if any).

    The output's gradients are drawn from ``seed`` in fp64 and rounded to ``rounded_to`` (default:
    the inputs' dtype), lse's to at least fp32, so that runs in two dtypes can share them.
    ``grad_memory``, one of ``MEMORY``, lays out that of out.
    """
    leaves = inputs.leaves()
    out, lse = semantic_cross_attention(
        *leaves.arguments(),
        empty=empty,
        scale=scale,
        return_lse=True,
        backend=backend,
    )
    given = drawn_gradients(out, lse, dtype=rounded_to or inputs.query.dtype, seed=seed)
    torch.autograd.backward((out, lse), (lay_out(given[0], grad_memory), given[1]))
    named = {"grad_query": leaves.query.grad, "grad_key": leaves.key.grad}
    if leaves.value is not None:
        named["grad_value"] = leaves.value.grad
    results = {"out": out.detach(), "lse": lse.detach()}
    return results | {name: grad for name, grad in named.items() if grad is not None}


def drawn_gradients(
    out: Tensor, lse: Tensor, *, dtype: torch.dtype, seed: int = 1
) -> tuple[Tensor, Tensor]:
    """Gradients of out and lse, as :func:`outcome` draws them; out's rounded to ``dtype``."""
    random = torch.Generator().manual_seed(seed)
    gradients = []
    for result, rounded in ((out, dtype), (lse, torch.promote_types(dtype, torch.float32))):
        drawn = torch.randn(result.shape, generator=random, dtype=torch.float64).to(rounded)
        gradients.append(drawn.to(result.device, result.dtype))
    return gradients[0], gradients[1]


def assert_matches_oracle(
    inputs: Inputs,
    *,
    backend: str,
    empty: Empty = "zero",
    scale: float | None = None,
    roundings: float | None = None,
) -> None:
    """Hold one backend's results and gradients against fp64 on the same, already rounded inputs.

    The reference in the inputs' own dtype is the yardstick; see :func:`assert_within_budget`.
    ``roundings`` as there: among many small random problems some leave eager code exact by luck.
    """
    dtype = inputs.query.dtype
    actual = outcome(inputs, backend=backend, empty=empty, scale=scale)
    eager = outcome(inputs, backend="reference", empty=empty, scale=scale)
    exact = outcome(
        inputs.to(torch.float64), backend="reference", empty=empty, scale=scale, rounded_to=dtype
    )
    assert actual.keys() == exact.keys()
    for name in exact:
        assert_within_budget(name, actual[name], exact[name], eager[name], roundings=roundings)
