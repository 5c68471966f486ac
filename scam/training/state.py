# SPDX-License-Identifier: Apache-2.0
"""What a training state must hold before a run takes it up; else each raises InputError."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scam.checkpoints.weights import expect_tensors
from scam.errors import InputError, counted, quoted
from scam.training.optimisation import Optimisation

_FREE = ("params", "lr")  # the numbers of parameters, and what each step sets
_MUON = {"momentum", "matrices"}  # of its groups; other settings came with versions of PyTorch


def unmoved(
    state: Mapping[str, Any], networks: Mapping[str, nn.Module], average: Mapping[str, Tensor]
) -> set[nn.Parameter]:
    """Parameters that no step has moved: equal to what they began with, or to their average.

    networks: as they were built; "model" is the one that is averaged.
    """
    found = set()
    for name, network in networks.items():
        for key, parameter in network.named_parameters():
            stored = state[name][key]
            like = [parameter.detach().cpu()]
            like += [average[key].to(stored.dtype)] if name == "model" else []
            if any(torch.equal(stored, tensor) for tensor in like):
                found.add(parameter)
    return found


def expect_optimizer(
    state: Mapping[str, Any],
    name: str,
    optimisation: Optimisation,
    step: int,
    may_lack: set[nn.Parameter],
) -> None:
    """The state of an optimiser of Adam's family, or of Muon, after ``step`` steps of the run.

    may_lack: parameters without moments, as those are that no loss reaches.
    """
    found, own = part(state, name), optimisation.optimizer.state_dict()
    groups, moments = found.get("param_groups"), found.get("state")
    if not isinstance(groups, list) or len(groups) != len(own["param_groups"]):
        expected = counted(len(own["param_groups"]), "group")
        raise InputError(f"{name}: param_groups is {quoted(groups):.40}, expected {expected}")
    for group, ours in zip(groups, own["param_groups"], strict=True):
        if not isinstance(group, dict) or group.get("params") != ours["params"]:
            raise InputError(f"{name} of another model (it has other parameters)")
        if _MUON & group.keys() != _MUON & ours.keys():
            raise InputError(f"{name} of another optimiser (its groups have other settings)")
        for key, value in ours.items():
            if key not in _FREE and key in group and not _same(group[key], value):
                raise InputError(f"{name}: {key} is {quoted(group[key])}, expected {value}")
    parameters = optimisation.parameters
    if not isinstance(moments, dict) or moments.keys() - set(range(len(parameters))):
        raise InputError(f"{name}: of another model (it has moments of other parameters)")
    if not moments:  # not a step yet
        return
    by_muon = [bool(_MUON & x.keys()) for x in own["param_groups"] for _ in x["params"]]
    for number, parameter in enumerate(parameters):
        what = f"{name}: parameter {number}"
        if number in moments:
            kept = ["momentum_buffer"] if by_muon[number] else ["exp_avg", "exp_avg_sq"]
            like = {"step": torch.zeros(())} | dict.fromkeys(kept, parameter)
            _expect_moments(moments[number], like, step * optimisation.per_step, what)
        elif parameter not in may_lack:
            raise InputError(f"{what} has no moments")


def expect_scaler(state: Mapping[str, Any], name: str) -> None:
    """The state of a gradient scaler; empty where the run was not scaled."""
    for key, value in part(state, name).items():
        if type(value) not in (int, float) or not 0 <= value < float("inf"):
            raise InputError(f"{name}: {quoted(key)} is {quoted(value)}, expected a number")


def part(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The entry ``name`` of ``state``, a dict."""
    if not isinstance(state.get(name), dict):
        raise InputError(f"{name} is {quoted(state.get(name)):.40}, expected a dict")
    found: dict[str, Any] = state[name]
    return found


def integer(state: Mapping[str, Any], name: str, most: int | None = None) -> int:
    """The entry ``name`` of ``state``, 0 or more, and no more than ``most``."""
    value = state.get(name)
    if type(value) is not int or value < 0 or (most is not None and value > most):
        expected = "0 or more" if most is None else f"0 to {most}"
        raise InputError(f"{name} is {quoted(value):.40}, expected {expected}")
    return value


def number(state: Mapping[str, Any], name: str) -> float:
    """The entry ``name`` of ``state``, finite and 0 or more."""
    value = state.get(name)
    if type(value) is not float or not 0 <= value < math.inf:
        raise InputError(f"{name} is {quoted(value):.40}, expected a number, 0 or more")
    return value


def _expect_moments(moments: Any, like: Mapping[str, Tensor], most: int, what: str) -> None:
    expect_tensors(moments, like, what)
    if not 0 <= float(moments["step"]) <= most:
        raise InputError(f"{what}: step is {float(moments['step'])}, expected 0 to {most}")
    if "exp_avg_sq" in like and bool((moments["exp_avg_sq"] < 0).any()):
        raise InputError(f"{what}: exp_avg_sq is negative, expected squares")


def _same(found: Any, own: Any) -> bool:
    """Equal in type too: 1 is not True."""
    if isinstance(own, tuple | list):
        return isinstance(found, tuple | list) and list(found) == list(own)
    return type(found) is type(own) and bool(found == own)
