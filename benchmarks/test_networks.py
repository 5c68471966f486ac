# SPDX-License-Identifier: Apache-2.0
"""Encoder and generator, whole training steps, and their peak memory: fused against dense."""

from typing import Any

import pytest
import torch

from benchmarks import cases
from benchmarks.contest import Contender, Contest
from benchmarks.gate import first_line
from benchmarks.networks import (
    DENSE,
    RELEASED,
    batch_of,
    check_networks,
    check_steps,
    networks_call,
    peak_memory,
    step_call,
)
from benchmarks.results_file import OURS
from scam.models import ScamConfig


def of(what: str) -> list[cases.NetworkCase]:
    return [case for case in cases.NETWORKS if case.what == what]


def entered(
    calls: dict[str, Any], error: dict[str, float]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Contenders that get through one call; why the others do not, e.g. not enough memory."""
    ready: dict[str, Contender] = {}
    refused: dict[str, str] = {}
    for name, make in calls.items():
        try:
            call = make()
            call()
            kind = "ours" if name == OURS else "dense"
            ready[name] = Contender(kind, [call], error if name == OURS else {}, graph=False)
        except RuntimeError as problem:
            if name == OURS:
                raise
            refused[name] = first_line(problem)
    return ready, refused


@pytest.mark.cases(of("networks"))
def test_networks(case: cases.NetworkCase, contest: Contest, device: torch.device) -> None:
    config = ScamConfig.preset(case.preset)
    released = ScamConfig.preset(case.preset, fidelity="released")
    batch = batch_of(case, device)
    calls = {
        OURS: lambda: networks_call(config, True, batch, device, None),
        DENSE: lambda: networks_call(config, False, batch, device, None),
        RELEASED: lambda: networks_call(released, False, batch, device, None),
    }
    ready, refused = entered(calls, check_networks(case, device))
    contest.run("networks", case, ready, refused=refused, fewest=2, batch=batch)


@pytest.mark.cases(of("step"))
def test_training_step(case: cases.NetworkCase, contest: Contest, device: torch.device) -> None:
    calls = {
        OURS: lambda: step_call(case, True, device),
        DENSE: lambda: step_call(case, False, device),
    }
    ready, refused = entered(calls, check_steps(case, device))
    batch = batch_of(case, device)
    contest.run("step", case, ready, refused=refused, fewest=2, batch=batch)


@pytest.mark.cases(of("memory"))
def test_peak_memory(case: cases.NetworkCase, contest: Contest, device: torch.device) -> None:
    found = {OURS: peak_memory(case, True, device), DENSE: peak_memory(case, False, device)}
    assert "peak_bytes" in found[OURS], f"ours: {found[OURS]}"
    base = found[OURS]["peak_bytes"]
    measured = {}
    for name, result in found.items():
        most = result.get("peak_bytes") or result.get("at_least_bytes")
        if most:
            kind = "ours" if name == OURS else "dense"
            measured[name] = {"kind": kind, "ratio": most / base, **result}
    reasons = {name: r["refused"] for name, r in found.items() if "refused" in r}
    contest.keep("memory", case, measured, refused=reasons, batch=batch_of(case, device))
