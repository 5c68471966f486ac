# SPDX-License-Identifier: Apache-2.0
"""Problems of ``indexed_affine`` and everyone who can solve them."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.cases import SETTINGS, AffineCase
from benchmarks.contest import Contender
from benchmarks.gate import Gate, Results, first_line, gradient_like
from benchmarks.label_maps import label_map, patch_numbers
from benchmarks.results_file import OURS
from benchmarks.timing import Call, copies_beyond_cache, copying
from scam.ops import indexed_affine
from scam.ops.affine_call import statistics_dtype
from scam.testing import AffineInputs
from scam.testing.affine import away_from_affine_kink

SLOPE = 0.2

LookUp = Callable[[AffineInputs], Tensor]


def ours(inputs: AffineInputs) -> Tensor:
    return indexed_affine(**inputs.arguments(), negative_slope=SLOPE)


def reference(inputs: AffineInputs) -> Tensor:
    return indexed_affine(**inputs.arguments(), negative_slope=SLOPE, backend="reference")


def eager(inputs: AffineInputs) -> Tensor:
    """Maps of scale and shift gathered, then the norm, as the baselines' own code does."""
    scale, shift = (F.embedding(inputs.index, t) for t in (inputs.scale, inputs.shift))
    x = inputs.x
    if inputs.mean is not None and inputs.rstd is not None:
        mean, rstd = (t[..., None, None].to(x.dtype) for t in (inputs.mean, inputs.rstd))
        x = (x - mean) * rstd
    y = x * scale.permute(0, 3, 1, 2) + shift.permute(0, 3, 1, 2)
    return F.leaky_relu(y, SLOPE)


def make_inputs(
    case: AffineCase, device: torch.device, seed: int = 0, folder: Path | None = None
) -> AffineInputs:
    """Draw a problem on a device, with the statistics of a batch norm."""
    setting = SETTINGS[device.type]
    dtype, batch = getattr(torch, setting.dtype), setting.batch
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).to(device, dtype)

    maps = label_map(
        case.labels, case.side, case.num_labels, batch=batch, seed=seed, folder=folder
    ).unflatten(1, (case.side, case.side))
    index, rows = maps.long(), case.num_labels
    if case.rows == "patches":
        index, rows = patch_numbers(maps)
    x = draw(batch, case.channels, case.side, case.side)
    if case.memory == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    variance, mean = torch.var_mean(x.to(statistics_dtype(dtype)), (0, 2, 3), correction=0)
    scale, shift = draw(rows, case.channels), draw(rows, case.channels)
    return AffineInputs(x, index.to(device), scale, shift, mean, (variance + 1e-5).rsqrt())


def results(look_up: LookUp, inputs: AffineInputs, gradient: Tensor | None) -> Results:
    """Output; and under a gradient of it those of the map, the tables and the statistics."""
    if gradient is None:
        with torch.no_grad():
            return {"y": look_up(inputs)}
    leaves = inputs.leaves()
    y = look_up(leaves)
    y.backward(gradient.to(y.dtype))
    return {"y": y.detach()} | leaves.gradients()


def timed(look_up: LookUp, inputs: AffineInputs, backward: bool) -> Call:
    """One forward, or one forward and backward, as a function of nothing."""
    if not backward:

        def forward() -> Tensor:
            with torch.no_grad():
                return look_up(inputs)

        return forward
    leaves = inputs.leaves()
    wanted = [t for t in leaves.arguments().values() if t is not None and t.requires_grad]
    gradient = torch.empty_like(inputs.x).copy_(gradient_like(inputs.x))  # in its memory order
    return lambda: torch.autograd.grad(look_up(leaves), wanted, gradient)


def traffic(case: AffineCase, inputs: AffineInputs) -> dict[str, int]:
    """Least bytes: x read, y written; backward x and the gradient of y read, that of x written."""
    one, tables = inputs.x.nbytes, inputs.scale.nbytes + inputs.shift.nbytes
    sides = inputs.index.nbytes + tables
    forward, back = 2 * one + sides, 3 * one + sides + tables
    return {
        "bytes": forward + back * case.backward,
        "backward_bytes": back,
        "copy_bytes": 2 * one,
        "flops": inputs.x.numel() * (20 if case.backward else 6),
        "rows": inputs.scale.shape[0],
    }


def contenders(
    case: AffineCase, device: torch.device, folder: Path | None = None
) -> tuple[dict[str, Contender], dict[str, str], AffineInputs]:
    """Everyone who passed the gate, why the others did not, and one problem.

    Raises:
        AssertionError: our result or a gradient is wrong.
    """
    inputs = make_inputs(case, device, 0, folder)
    count = copies_beyond_cache(device, 2 * inputs.x.nbytes)
    sets = [inputs, *(make_inputs(case, device, seed, folder) for seed in range(1, count))]
    gradient = None
    if case.backward:
        gradient = gradient_like(inputs.x).masked_fill(~away_from_affine_kink(inputs), 0)
    gate = Gate(lambda dtype: results(reference, inputs.to(dtype) if dtype else inputs, gradient))
    rivals: dict[str, LookUp] = {OURS: ours, "eager": eager}
    if case.compiled:
        rivals["torch.compile of eager"] = torch.compile(eager)
    entered: dict[str, Contender] = {}
    refused: dict[str, str] = {}
    for name, look_up in rivals.items():
        try:
            error = gate.check(results(look_up, inputs, gradient))
        except Exception as problem:
            if name == OURS:
                raise
            refused[name] = first_line(problem)
            continue
        calls = [timed(look_up, one, case.backward) for one in sets]
        entered[name] = Contender("ours" if name == OURS else "dense", calls, error)
    entered["copy"] = Contender("copy", [copying(one.x) for one in sets])
    return entered, refused, inputs
