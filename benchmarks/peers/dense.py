# SPDX-License-Identifier: Apache-2.0
"""Peers that compute every pair of pixel and latent and mask most of them away."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers import Attend, Peer, ungrouped
from scam.testing import Inputs


def visible(inputs: Inputs) -> Tensor:
    """Labels -> bool (B, 1, Nq, Nk)."""
    queries, keys = inputs.query_labels, inputs.key_labels
    assert isinstance(queries, Tensor)
    assert isinstance(keys, Tensor)
    return queries[:, None, :, None] == keys[:, None, None, :]


def eager(inputs: Inputs) -> Tensor:
    """Masked softmax as the SCAM paper's code writes it."""
    query, key, value = ungrouped(inputs)
    logits = query @ key.mT * query.shape[-1] ** -0.5
    return logits.masked_fill(~visible(inputs), -1e4).softmax(-1) @ value


def sdpa(inputs: Inputs, mask: Tensor | None = None) -> Tensor:
    """PyTorch's attention with a bool mask, which is built here unless given."""
    query, key, value = ungrouped(inputs)
    mask = visible(inputs) if mask is None else mask
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def _sdpa_given_mask(inputs: Inputs) -> Attend:
    mask = visible(inputs)
    return lambda other: sdpa(other, mask)


def _compiled_eager(_: Inputs) -> Attend:
    return torch.compile(eager, dynamic=False)


def _block_mask(inputs: Inputs, create: Any) -> Any:
    queries, keys = inputs.query_labels, inputs.key_labels
    assert isinstance(queries, Tensor)
    assert isinstance(keys, Tensor)

    def same_label(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return queries[b, q] == keys[b, k]

    sizes = inputs.query.shape[0], None, inputs.query.shape[2], inputs.key.shape[2]
    return create(same_label, *sizes, device=inputs.query.device.type)


def _flex(given_mask: bool) -> Any:
    def prepare(inputs: Inputs) -> Attend:
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        attend = torch.compile(flex_attention, dynamic=False)
        # Compiled on a GPU, where building the mask is otherwise slower than attending.
        fast = inputs.query.device.type == "cuda"
        create = torch.compile(create_block_mask, dynamic=False) if fast else create_block_mask
        mask = _block_mask(inputs, create) if given_mask else None

        def run(other: Inputs) -> Tensor:
            query, key, value = ungrouped(other)
            block_mask = _block_mask(other, create) if mask is None else mask
            return attend(query, key, value, block_mask=block_mask)

        return run

    return prepare


def _flex_refuses(inputs: Inputs, backward: bool) -> str | None:
    if backward and inputs.query.device.type == "cpu":
        return "FlexAttention has no backward on a CPU"
    if inputs.query.dtype == torch.float64:
        return "FlexAttention knows no float64"
    return None


DENSE = (
    Peer("eager masked softmax", "dense", lambda inputs: eager),
    Peer("SDPA + bool mask", "dense", lambda inputs: sdpa),
    Peer("SDPA, mask given", "dense", _sdpa_given_mask),
    Peer("torch.compile of eager", "dense", _compiled_eager, compiled=True),
    Peer("FlexAttention", "dense", _flex(False), _flex_refuses, compiled=True),
    Peer("FlexAttention, mask given", "dense", _flex(True), _flex_refuses, compiled=True),
)
