# SPDX-License-Identifier: Apache-2.0
"""Every rival solves the same problem, and the gate notices one that does not."""

import pytest
import torch
from torch import Tensor

from benchmarks import affine, attention, gate, modulation, networks
from benchmarks.cases import AffineCase, AttentionCase, ModulationCase
from benchmarks.peers import Peer
from benchmarks.peers.modulation import CONTENDERS
from benchmarks.timing import Stopwatch
from scam.models import ScamConfig
from scam.testing import Inputs

CPU = torch.device("cpu")
CUDA_ONLY = ("sorted varlen", "xformers BlockDiagonalMask")
QUICK = [peer for peer in attention.PEERS if not peer.compiled and peer.name not in CUDA_ONLY]


@pytest.mark.parametrize("peer", QUICK, ids=lambda peer: peer.name)
@pytest.mark.parametrize("reads", ["latents", "pixels"])
@pytest.mark.parametrize("labels", ["coherent", "noise"])
def test_peers_match_the_oracle(peer: Peer, reads: str, labels: str) -> None:
    case = AttentionCase(side=16, num_labels=5, width=24, k=3, reads=reads, labels=labels)
    inputs = attention.make_inputs(case, CPU)
    assert peer.refuses(inputs, True) is None
    found = gate.attention_results(peer.prepare(inputs), inputs, backward=True)
    errors = gate.attention_gate(inputs, backward=True).check(found)
    assert max(errors.values()) < 1e-4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("peer", attention.PEERS, ids=lambda peer: peer.name)
def test_peers_match_the_oracle_on_a_gpu(peer: Peer) -> None:
    case = AttentionCase(side=32, num_labels=5, width=64)
    inputs = attention.make_inputs(case, torch.device("cuda"))
    refusal = peer.refuses(inputs, True)
    if refusal:
        pytest.skip(refusal)
    found = gate.attention_results(peer.prepare(inputs), inputs, backward=True)
    gate.attention_gate(inputs, backward=True).check(found)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_calls_are_captured_and_timed_on_a_gpu() -> None:
    x = torch.randn(1 << 22, device="cuda")
    calls = {"graph": [lambda: x * 2], "plain": [lambda: x * 2]}
    watch = Stopwatch(calls, x.device, budget_s=0, without_graph=["plain"])
    for _ in range(watch.rounds):
        watch.round()
    times = watch.times("plain")
    assert {name: t.method for name, t in times.items()} == {
        "graph": "CUDA graph",
        "plain": "CUDA events",
    }
    assert all(0 < t.median < float("inf") for t in times.values())


def test_refusals_are_in_words() -> None:
    inputs = attention.make_inputs(AttentionCase(side=4, num_labels=2), CPU)
    reasons = {peer.name: peer.refuses(inputs, True) for peer in attention.PEERS}
    assert reasons["FlexAttention"] == "FlexAttention has no backward on a CPU"
    assert reasons["sorted varlen"] == "varlen attention has no CPU kernels"
    assert reasons["eager masked softmax"] is None


def test_gate_refuses_a_wrong_peer() -> None:
    inputs = attention.make_inputs(AttentionCase(side=8, num_labels=3, width=8), CPU)

    def blind(inputs: Inputs) -> Tensor:
        assert inputs.value is not None
        return (inputs.query @ inputs.key.mT).softmax(-1) @ inputs.value

    found = gate.attention_results(blind, inputs, backward=True)
    with pytest.raises(AssertionError, match="out: max"):
        gate.attention_gate(inputs, backward=True).check(found)


def test_large_problems_are_thinned_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gate.ORACLE_PAIRS, "cpu", 64 * 64 * 24 // 4)
    for reads in ("latents", "pixels"):
        case = AttentionCase(side=64, num_labels=3, width=8, memory="channels_first", reads=reads)
        inputs = attention.make_inputs(case, CPU)
        thin = gate.sample(inputs)
        pixels, few = (thin.query, thin.key) if reads == "latents" else (thin.key, thin.query)
        assert pixels.shape[2] == 1024
        assert pixels.stride(2) == 1
        assert few.shape[2] == 24


@pytest.mark.parametrize("rows", ["labels", "patches"])
def test_affines_pass_the_gate(rows: str) -> None:
    case = AffineCase(side=12, channels=8, num_labels=3, rows=rows, backward=True)
    entered, refused, _ = affine.contenders(case, CPU)
    assert not refused
    assert set(entered) == {"ours", "eager", "copy"}
    for contender in entered.values():
        contender.calls[0]()


@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("memory", ["contiguous", "channels_last"])
def test_modulations_match_the_half_as_written(name: str, memory: str) -> None:
    case = ModulationCase(
        side=9, channels=12, num_labels=4, token_dim=10, attention_dim=8, k=3, memory=memory
    )
    half = modulation.make_half(case, CPU)
    gradient = modulation.smooth_gradient(half)
    found = modulation.results(CONTENDERS[name][1], half, gradient)
    # On so small a problem eager code may be lucky: it is not a yardstick for every rounding.
    exact = modulation.results(modulation.REFERENCE, half.to(torch.float64), gradient)
    assert found.keys() == exact.keys()
    for result, want in exact.items():
        error = (found[result].double() - want).abs().max() / want.abs().max()
        assert error < 1e-5, result


def test_parts_of_the_modulation_are_timed_by_themselves() -> None:
    entered, _, _ = modulation.contenders(ModulationCase(16, 8, 3, backward=True), CPU)
    assert entered["op alone"].kind == entered["ours, backward alone"].kind == "part"
    x, _, *of_tokens = entered["ours, backward alone"].calls[0]()
    assert x.shape == (1, 8, 16, 16)
    assert all(map(torch.is_tensor, of_tokens))
    forward, _, _ = modulation.contenders(ModulationCase(16, 8, 3), CPU)
    assert "ours, backward alone" not in forward


def test_contenders_of_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    case = AttentionCase(side=16, num_labels=3, width=8, backward=True)
    entered, refused, inputs = attention.contenders(case, CPU)
    assert {"ours", "copy", "ours, backward alone", "eager masked softmax"} <= entered.keys()
    assert "sorted varlen" in refused
    assert entered["ours"].error.keys() == {"out", "grad_query", "grad_key", "grad_value"}
    counted = attention.traffic(case, inputs)
    one = 16 * 16 * 8 * 4
    assert counted["copy_bytes"] == 2 * one
    assert 5 * one < counted["bytes"] < 7 * one
    wrong = Peer("wrong", "dense", lambda inputs: lambda inputs: inputs.query * 2)
    monkeypatch.setattr(attention, "PEERS", (wrong,))
    entered, refused, _ = attention.contenders(AttentionCase(side=16, num_labels=3), CPU)
    assert "wrong" not in entered
    assert refused["wrong"].startswith(gate.WRONG)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("fidelity", ["default", "released"])
def test_fused_and_dense_networks_agree_for_one_picture_too(batch: int, fidelity: str) -> None:
    config = ScamConfig.preset("tiny", size=(32, 32), fidelity=fidelity)
    fused, dense = (
        networks.networks_call(config, flag, batch, CPU, torch.float64)() for flag in (True, False)
    )
    for ours, theirs in zip(fused, dense, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
