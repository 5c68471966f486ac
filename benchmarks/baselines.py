# SPDX-License-Identifier: Apache-2.0
"""Parts of the baselines in their exact fast form and in the dense one of their papers."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from benchmarks.cases import BaselineCase
from benchmarks.contest import Contender
from benchmarks.gate import Gate, Results, gradient_like
from benchmarks.label_maps import label_map
from benchmarks.results_file import OURS
from benchmarks.timing import Call
from scam.models.clade import CladeNorm
from scam.models.inade import CodeEncoder, InadeConfig, InadeNorm
from scam.models.label_levels import LabelCodes, LabelLevels, Level
from scam.models.sean import NoisyCodes, SeanConfig, SeanNorm
from scam.models.sean_clade import SeanCladeConfig, SeanCladeNorm
from scam.models.spade import SpadeConfig, SpadeNorm
from scam.nn.label_conv import LabelConv2d
from scam.nn.label_patches import LabelPatches

DENSE = "dense"
NUMBERING = "numbering the patches"
"""Done once for all norms of a size, in the forward pass."""


Tensors = tuple[Tensor, ...]
Run = Callable[[Any, Tensors], Tensors]
Drawn = tuple[nn.Module, Tensors, Run]
BRANCHES = {"spade branch": "spade", "sean style": "sean"}
"""Of these norms what makes scale and shift alone is timed, without the lookup that ends all."""


@dataclass
class Part:
    """A part of a baseline under one label map.

    run: (module, inputs) -> its result; the module's ``fused`` says how. inputs: floating ones.
    timed: what is timed in its place; the result may then have another form in each.
    """

    module: nn.Module
    inputs: Tensors
    run: Run
    maps: Tensor
    patches: LabelPatches
    timed: Run


def make_part(case: BaselineCase, device: torch.device, folder: Path | None = None) -> Part:
    """Draw a problem on a device."""
    torch.manual_seed(0)
    shape = (case.side, case.side)
    labels = label_map(case.labels, case.side, case.num_labels, batch=1, folder=folder)
    labels = labels.unflatten(1, shape).int().to(device)
    patches = LabelPatches.build(labels, case.num_labels)
    make = {"one-hot convolution": _convolution, "inade encoder": _encoder}.get(case.part, _norm)
    module, inputs, run = make(case, labels, patches)
    moved = tuple(t.to(device) for t in inputs)
    timed = partial(_branch, case, labels, patches) if case.part in BRANCHES else run
    return Part(module.to(device).train(), moved, run, labels, patches, timed)


def _convolution(case: BaselineCase, labels: Tensor, patches: LabelPatches) -> Drawn:
    small = patches.around[patches.index.long(), 4]

    def run(module: Any, inputs: Tensors) -> Tensors:
        if not module.fused:
            return (module(labels),)
        return (F.embedding(small, module.at(patches.taps)).permute(0, 3, 1, 2),)

    conv: Any = LabelConv2d(case.num_labels, case.channels)
    conv.fused = True
    return conv, (), run


def _encoder(case: BaselineCase, labels: Tensor, patches: LabelPatches) -> Drawn:
    config = InadeConfig(num_labels=case.num_labels, size=(case.side, case.side))
    image = torch.rand(1, 3, case.side, case.side) * 2 - 1
    return CodeEncoder(config), (image,), lambda module, inputs: module(inputs[0], labels)


def _norm(case: BaselineCase, labels: Tensor, patches: LabelPatches) -> Drawn:
    norm, config_class = _NORMS[BRANCHES.get(case.part, case.part)]
    size = (case.side, case.side)
    config = config_class(num_labels=case.num_labels, size=size)
    levels = LabelLevels.build(labels, case.num_labels, [size], patches=True)
    fused, dense = Level(labels, patches), Level(labels, None)
    x = torch.randn(1, case.channels, *size)
    tokens = torch.randn(1, case.num_labels, config.token_dim)

    def run(module: Any, inputs: Tensors) -> Tensors:
        style: Any = None
        if case.part == "inade":
            style = LabelCodes.of(inputs[1], levels)
        elif len(inputs) > 1:
            style = NoisyCodes.of(inputs[1], levels, noise=None)
        return (module(inputs[0], fused if module.fused else dense, style, 0.2),)

    inputs = (x,) if config_class is SpadeConfig else (x, tokens)
    return norm(config, case.channels, last=False), inputs, run


def _branch(
    case: BaselineCase, labels: Tensor, patches: LabelPatches, module: Any, inputs: Tensors
) -> Tensors:
    """gamma and beta of SPADE's convolutions, or of SEAN's convolutions of the map of codes."""
    if case.part == "spade branch":
        branch: Any = module.labels
        made: Tensors = branch.rows(patches) if module.fused else branch.maps(labels)
        return made
    levels = LabelLevels.build(labels, case.num_labels, [(case.side, case.side)], patches=True)
    style, branch = NoisyCodes.of(inputs[1], levels, noise=None), module.style
    if module.fused:
        return tuple(branch.rows(patches.of_images, style))
    return tuple(branch.maps(labels, style))


_NORMS: dict[str, tuple[Any, Any]] = {
    "spade": (SpadeNorm, SpadeConfig),
    "clade": (CladeNorm, SpadeConfig),
    "sean": (SeanNorm, SeanConfig),
    "sean-clade": (SeanCladeNorm, SeanCladeConfig),
    "inade": (InadeNorm, InadeConfig),
}


def in_form(part: Part, fused: bool, dtype: torch.dtype | None = None) -> Part:
    """A copy whose modules compute in one form."""
    module = copy.deepcopy(part.module)
    each: Any
    for each in module.modules():
        if hasattr(each, "fused"):
            each.fused = fused
    inputs = part.inputs
    if dtype is not None:
        module, inputs = module.to(dtype), tuple(t.to(dtype) for t in inputs)
    return replace(part, module=module, inputs=inputs)


def results(part: Part, backward: bool, run: Run | None = None) -> Results:
    """What it gives, and under a gradient of that, those of parameters and inputs."""
    leaves = tuple(t.detach().requires_grad_() for t in part.inputs)
    with torch.set_grad_enabled(backward):
        made = (run or part.run)(part.module, leaves)
    found = {f"result {i}": y.detach() for i, y in enumerate(made)}
    if backward:
        inputs = {f"input {i}": leaf for i, leaf in enumerate(leaves)}
        wanted = {**dict(part.module.named_parameters()), **inputs}
        gradients = torch.autograd.grad(
            made, list(wanted.values()), [gradient_like(y) for y in made], allow_unused=True
        )
        for name, gradient in zip(wanted, gradients, strict=True):
            if gradient is not None:
                found[f"gradient of {name}"] = gradient
    return found


def timed(part: Part, backward: bool) -> Call:
    """One forward, or one forward and backward, as a function of nothing."""
    return lambda: results(part, backward, part.timed)


def kept_bytes(part: Part) -> int:
    """What the forward pass keeps for the backward one, each storage once, without weights."""
    own = {p.untyped_storage().data_ptr() for p in part.module.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    leaves = tuple(t.detach().requires_grad_() for t in part.inputs)
    with saved_tensors_hooks(note, lambda tensor: tensor):
        made = part.timed(part.module, leaves)
    del made
    return sum(kept.values())


def contenders(
    case: BaselineCase, device: torch.device, folder: Path | None = None
) -> tuple[dict[str, Contender], dict[str, Any]]:
    """Both forms, gated by fp64, and facts: share of distinct patches, bytes kept.

    Raises:
        AssertionError: the fast form's result or a gradient is wrong.
    """
    part = make_part(case, device, folder)
    ours, dense = in_form(part, True), in_form(part, False)
    # INADE's fast convolutions are differences: in float32 gradients behind their instance norms
    # are rounded up to 1.4 times as much as the dense form's. They are tested in float64.
    checked = case.backward and case.part != "inade encoder"
    gate = Gate(lambda dtype: results(in_form(part, False, dtype), checked))
    error = gate.check(results(ours, checked))
    entered = {
        OURS: Contender("ours", [timed(ours, case.backward)], error, graph=False),
        DENSE: Contender("dense", [timed(dense, case.backward)], graph=False),
    }
    if case.part not in ("clade", "inade", "inade encoder"):
        number: Call = lambda: LabelPatches.build(part.maps, case.num_labels)  # noqa: E731
        entered[NUMBERING] = Contender("part", [number], graph=False)
    facts: dict[str, Any] = {"patch_share": part.patches.share}
    if case.backward:
        facts["kept_bytes"] = {OURS: kept_bytes(ours), DENSE: kept_bytes(dense)}
    return entered, facts
