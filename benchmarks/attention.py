# SPDX-License-Identifier: Apache-2.0
"""Problems of ``semantic_cross_attention`` and everyone who can solve them."""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from benchmarks.cases import SETTINGS, AttentionCase
from benchmarks.contest import Contender
from benchmarks.gate import (
    Gate,
    attention_gate,
    attention_results,
    first_line,
    gradient_like,
    sample,
)  # fmt: skip
from benchmarks.label_maps import label_map
from benchmarks.peers import Attend, Peer
from benchmarks.peers.dense import DENSE
from benchmarks.peers.sparse import SPARSE
from benchmarks.results_file import BACKWARD_ALONE, OURS
from benchmarks.timing import Call, before_capture, copies_beyond_cache, copying
from scam.ops import semantic_cross_attention
from scam.testing import Inputs, lay_out

PEERS = (*DENSE, *SPARSE)


def ours(inputs: Inputs) -> Tensor:
    """The op as a user calls it."""
    return semantic_cross_attention(*inputs.arguments())


def make_inputs(
    case: AttentionCase, device: torch.device, seed: int = 0, folder: Path | None = None
) -> Inputs:
    """Draw the inputs of a case on a device, in that device's batch size and dtype."""
    setting = SETTINGS[device.type]
    dtype = getattr(torch, setting.dtype)
    random = torch.Generator().manual_seed(seed)

    def draw(count: int) -> Tensor:
        flat = torch.randn(setting.batch, 1, count, case.width, generator=random)
        return flat.to(device, dtype)

    pixels = lay_out(draw(case.side**2), case.memory)
    count = case.num_labels * case.k
    drawn = label_map(
        case.labels, case.side, case.num_labels, batch=setting.batch, seed=seed, folder=folder
    ).to(device)
    owners = torch.arange(case.num_labels, dtype=torch.uint8, device=device)
    owners = owners.repeat_interleave(case.k).expand(setting.batch, -1)
    if case.reads == "pixels":
        return Inputs(draw(count), pixels, None, owners, drawn)
    if case.reads == "transport":
        source, value = (lay_out(draw(case.side**2), case.memory) for _ in range(2))
        return Inputs(pixels, source, value, drawn, drawn.roll(case.side**2 // 3, 1))
    return Inputs(pixels, draw(count), draw(count), drawn, owners)


def traffic(case: AttentionCase, inputs: Inputs) -> dict[str, int]:
    """Least bytes moved and operations needed: each map read once, written once, nk pairs."""
    pixels, few = sorted((inputs.query, inputs.key), key=lambda x: x.shape[2], reverse=True)
    labels = pixels.shape[0] * pixels.shape[2]
    pairs = labels * case.k * case.width
    if case.reads == "transport":
        counts = torch.bincount(cast(Tensor, inputs.query_labels).flatten().long())
        pairs = int(counts.square().sum()) * case.width // pixels.shape[0]
    one, small = pixels.nbytes, few.nbytes
    # Forward: read the map and, where pixels are the queries, write one. Backward: read the map
    # (and the gradient of what was written), write its gradient.
    forward, back = (one, 2 * one) if case.reads == "pixels" else (2 * one, 3 * one)
    tokens, back_tokens = 2 * small, 4 * small
    return {
        "bytes": forward + tokens + labels + (back + back_tokens + labels) * case.backward,
        "backward_bytes": back + back_tokens + labels,
        "copy_bytes": 2 * one,
        "flops": pairs * (14 if case.backward else 4),
    }


def timed(attend: Attend, inputs: Inputs, backward: bool) -> Call:
    """One forward, or one forward and backward, as a function of nothing."""
    if not backward:

        def forward() -> Tensor:
            with torch.no_grad():
                return attend(inputs)

        return forward
    leaves = inputs.leaves()
    wanted = [t for t in (leaves.query, leaves.key, leaves.value) if t is not None]
    with torch.no_grad():
        gradient = gradient_like(attend(inputs))
    return lambda: torch.autograd.grad(attend(leaves), wanted, gradient)


def _backward_alone(inputs: Inputs) -> Call:
    leaves = inputs.leaves()
    wanted = [t for t in (leaves.query, leaves.key, leaves.value) if t is not None]
    out = before_capture(inputs.query.device, lambda: ours(leaves))
    gradient = gradient_like(out)
    return lambda: torch.autograd.grad(out, wanted, gradient, retain_graph=True)


def contenders(
    case: AttentionCase, device: torch.device, folder: Path | None = None
) -> tuple[dict[str, Contender], dict[str, str], Inputs]:
    """Everyone who passed the gate, why the others did not, and one set of inputs.

    Raises:
        AssertionError: our result or a gradient is wrong.
    """
    inputs = make_inputs(case, device, 0, folder)
    pixels = inputs.key if case.reads == "pixels" else inputs.query
    count = copies_beyond_cache(device, 2 * pixels.nbytes)
    sets = [inputs, *(make_inputs(case, device, seed, folder) for seed in range(1, count))]
    seen = sample(inputs)
    gate = attention_gate(seen, case.backward)
    entered: dict[str, Contender] = {}
    refused: dict[str, str] = {}
    peers = [peer for peer in PEERS if case.compiled or not peer.compiled]
    for peer in (Peer(OURS, "ours", lambda _: ours), *peers):
        reason = peer.refuses(inputs, case.backward)
        if reason is not None:
            refused[peer.name] = reason
            continue
        try:
            entered[peer.name] = _entry(peer, sets, seen, case.backward, gate)
        except Exception as error:
            if peer.kind == "ours":
                raise
            refused[peer.name] = first_line(error)
    if case.backward:
        entered[BACKWARD_ALONE] = Contender("part", [_backward_alone(one) for one in sets])
    maps = [one.key if case.reads == "pixels" else one.query for one in sets]
    entered["copy"] = Contender("copy", [copying(one) for one in maps])
    return entered, refused, inputs


def _entry(peer: Peer, sets: list[Inputs], seen: Inputs, backward: bool, gate: Gate) -> Contender:
    attend = peer.prepare(seen)
    error = gate.check(attention_results(attend, seen, backward))
    prepared = [attend if inputs is seen else peer.prepare(inputs) for inputs in sets]
    calls = [timed(a, inputs, backward) for a, inputs in zip(prepared, sets, strict=True)]
    return Contender(peer.kind, calls, error, graph=not peer.waits)
