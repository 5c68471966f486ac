# SPDX-License-Identifier: Apache-2.0
"""What only the C++ kernels of the modulation have: instruction sets, windows, chunks."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from scam.ops import semantic_modulation
from scam.ops.backends import cpu
from scam.ops.modulation_call import ModulationCall
from scam.ops.problem import Problem
from scam.testing import (
    ModulationInputs,
    assert_modulation_matches_oracle,
    make_modulation_inputs,
    modulation_outcome,
)

REFUSAL = "; ".join(cpu.refusals(Problem("cpu", torch.float32)))
pytestmark = [
    pytest.mark.skipif(bool(REFUSAL), reason=REFUSAL),
    pytest.mark.usefixtures("one_thread"),
]


def stripes(inputs: ModulationInputs, length: int, labels: int = 4) -> ModulationInputs:
    """The same with a map of runs of ``length`` pixels, one in ``labels`` ignored."""
    batch, height, width = inputs.labels.shape
    numbers = torch.arange(height * width) // length % labels - 1
    return replace(inputs, labels=numbers.view(1, height, width).repeat(batch, 1, 1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {"size": (40, 33), "channels": 20},
        {"size": (24, 25), "channels": 130, "memory": "channels_last"},
        {"heads": 3, "tokens": 17, "memory": "sliced"},
        {"tokens": 90, "num_labels": 3, "heads": 2},
        {"tokens": 4, "num_labels": 4, "channels": 3},
    ],
    ids=str,
)
def test_every_instruction_set(isa: str, dtype: torch.dtype, changes: dict[str, Any]) -> None:
    assert_modulation_matches_oracle(make_modulation_inputs(dtype=dtype, **changes), backend="cpu")


@pytest.mark.parametrize("length", [1, 3, 16, 17, 45, 600])
@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_runs_of_any_length(isa: str, length: int, memory: str) -> None:
    """Runs end and windows begin anywhere in a vector; the last pixels have nothing after them."""
    for size in ((1, 15), (1, 31), (3, 257), (37, 31)):
        inputs = make_modulation_inputs(
            size=size, tokens=12, memory=memory, dtype=torch.float64, batch=1
        )
        assert_modulation_matches_oracle(stripes(inputs, length), backend="cpu")


def test_sums_over_many_windows(isa: str) -> None:
    inputs = make_modulation_inputs(size=(99, 100), channels=6, tokens=9, dtype=torch.float64)
    assert_modulation_matches_oracle(stripes(inputs, 37), backend="cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_images_whose_sums_do_not_fit_at_once(dtype: torch.dtype) -> None:
    """Wide tokens in such number that partial sums are held for a few images at a time."""
    inputs = make_modulation_inputs(
        batch=9, channels=256, size=(16, 64), tokens=800, num_labels=30, dtype=dtype
    )
    whole = modulation_outcome(inputs, backend="cpu")
    last = {
        name: value[8:]
        for name, value in inputs.arguments().items()
        if name not in ("position", "default_gamma", "noise_scale")
    }
    leaves = replace(inputs, **last).leaves()
    y = semantic_modulation(**leaves.arguments(), backend="cpu")
    random = torch.Generator().manual_seed(1)
    grad = torch.randn(inputs.x.shape, generator=random, dtype=torch.float64)[8:]
    y.backward(grad.to(dtype))
    assert torch.equal(y, whole["y"][8:])
    for name in ("grad_x", "grad_keys", "grad_gamma", "grad_default_beta"):
        assert torch.equal(leaves.gradients()[name], whole[name][8:]), name


@pytest.mark.parametrize("step", [2, 3])
def test_maps_with_gaps(isa: str, step: int) -> None:
    """Neither pixels nor channels are neighbours in memory."""
    inputs = make_modulation_inputs(size=(9, 14), channels=18, dtype=torch.float64)
    batch, channels, height, width = inputs.x.shape
    wide = torch.full((batch, channels, height, width * step), torch.nan, dtype=torch.float64)
    wide[..., ::step] = inputs.x
    found = modulation_outcome(replace(inputs, x=wide[..., ::step]), backend="cpu")
    wanted = modulation_outcome(inputs, backend="cpu")
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_one_token_per_label_is_a_gather(isa: str) -> None:
    inputs = make_modulation_inputs(extras=False, tokens=5, size=(20, 20))
    inputs = replace(
        inputs,
        token_labels=torch.arange(5),
        labels=inputs.labels.clamp(min=0),
        gamma=torch.zeros_like(inputs.gamma),
        x=torch.zeros_like(inputs.x),
    )
    y = semantic_modulation(**inputs.arguments(), backend="cpu", negative_slope=1.0)
    index = inputs.labels.flatten(1)[:, :, None].expand(-1, -1, 16)
    wanted = inputs.beta[:, 0].gather(1, index).mT.unflatten(2, (20, 20))
    assert torch.equal(y, wanted)


def test_large_scores_do_not_overflow(isa: str) -> None:
    inputs = make_modulation_inputs(size=(20, 20), tokens=24)
    steep = replace(inputs, keys=inputs.keys * 1e4, key_bias=inputs.key_bias * 1e3)
    found = modulation_outcome(steep, backend="cpu")
    assert all(tensor.isfinite().all() for tensor in found.values())


def test_an_outlier_costs_no_digits_of_the_variance(isa: str) -> None:
    inputs = make_modulation_inputs(size=(64, 64), channels=4, extras=False, batch=1)
    x = inputs.x.clone()
    x[..., 0, 0] = 1e4
    call = ModulationCall(
        x.flatten(2), inputs.labels.flatten(1), inputs.keys, inputs.key_bias, inputs.gamma,
        inputs.beta, inputs.token_labels, None, None, None, None, None, (None,) * 4, 1e-5, 0.2,
    )  # fmt: skip
    _, _, _, mean, rstd = cpu.modulation_forward(call)
    wide = x.double().flatten(2)
    torch.testing.assert_close(mean.double(), wide.mean(-1), rtol=1e-5, atol=0.0)
    wanted = (wide.var(-1, correction=0) + 1e-5).rsqrt()
    torch.testing.assert_close(rstd.double(), wanted, rtol=1e-6, atol=0.0)
