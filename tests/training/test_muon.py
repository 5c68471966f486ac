# SPDX-License-Identifier: Apache-2.0
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam import train
from scam.checkpoints.training_state import load_training
from scam.errors import InputError
from scam.models.registry import MODELS, build
from scam.nn.spectral import SpectralConv2d
from scam.synthesis.options import SynthesisOptions
from scam.training import muon as muon_module
from scam.training.muon import muon, orthogonalised
from scam.training.optimisation import Optimisation, adamw
from scam.training.precision import Precision
from scam.training.state import expect_optimizer

FAST = [
    *("--size", "32", "32", "--batch-size", "2", "--workers", "0", "--steps", "4"),
    *("--warmup", "2", "--latents-per-label", "2", "--background-latents", "2"),
    *("--width", "16", "--levels", "4", "--token-dim", "16", "--attention-dim", "16"),
    *("--save-every", "2", "--log-every", "1", "--gan", "0", "--perceptual", "none"),
]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(8, 16, 3, padding=1), nn.GroupNorm(2, 16), nn.Conv2d(16, 16, 1),
        nn.Conv2d(16, 32, 3, groups=2), nn.Conv2d(32, 3, 1),
    )  # fmt: skip


def optimisation(module: nn.Module, scaled: bool = False, **more: Any) -> Optimisation:
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, enabled=scaled)
    optimizer = muon(module, 1e-2, 2e-2, weight_decay=0.1)
    return Optimisation(optimizer, Precision(None, ""), scaler, **more)


def backward(optimised: Optimisation, module: nn.Module, seed: int, factor: float = 1.0) -> None:
    optimised.backward({"error": (factor, module(drawn(2, 8, 6, 6, seed=seed)).square().mean())})


def kept(module: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    return copy.deepcopy((module.state_dict(), optimizer.state_dict()["state"]))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, Tensor) else bool(a == b)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 40), (2, 40, 8)])
def test_singular_values_become_about_one(shape: tuple[int, int, int]) -> None:
    """And singular vectors stay: where the smallest value is not far below the largest."""
    u, _, vh = torch.linalg.svd(drawn(*shape).double(), full_matrices=False)
    values = torch.linspace(0.03, 1, min(shape[1:]), dtype=torch.float64)
    # Scaled a thousandfold: only directions count.
    rotated = u.mT @ orthogonalised(1e3 * (u * values.unsqueeze(-2)) @ vh) @ vh.mT
    found = rotated.diagonal(dim1=1, dim2=2)
    assert torch.allclose(rotated, torch.diag_embed(found), atol=1e-9)
    assert 0.7 < float(found.min()) < float(found.max()) < 1.3
    assert not orthogonalised(torch.zeros(shape)).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gram_matrices_are_another_way_to_the_same(dtype: torch.dtype) -> None:
    matrices = drawn(3, 24, 60).to(dtype)
    matrices[1] *= torch.logspace(0, -3, 60)
    matrices = matrices / torch.linalg.matrix_norm(matrices, keepdim=True)
    gram = matrices @ matrices.mT
    found = muon_module._iterated_gram(matrices, gram)
    expected = muon_module._iterated(matrices, gram)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e3 * torch.finfo(dtype).eps)
    assert not muon_module._iterated_gram(torch.zeros(1, 4, 9), torch.zeros(1, 4, 4)).any()


def stepped(layer: nn.Module, gradients: Tensor) -> Tensor:
    """The weight of ``layer`` after two steps along ``gradients``, as a matrix."""
    optimizer = muon(layer, 1e-3, 0.05, weight_decay=0.1)
    for gradient in gradients:
        layer.weight.grad = gradient.reshape(layer.weight.shape)
        optimizer.step()
        assert layer.weight.grad is None
    return layer.weight.detach().reshape(len(layer.weight), -1)


def test_a_convolution_is_its_matrix() -> None:
    matrix, gradients = drawn(16, 72), drawn(2, 16, 72, seed=1)
    linear = nn.Linear(72, 16, bias=False)
    convolution = nn.Conv2d(8, 16, 3, bias=False)
    innermost = nn.Conv2d(8, 16, 3, bias=False).to(memory_format=torch.channels_last)
    for layer in (linear, convolution, innermost):
        layer.weight.data.copy_(matrix.reshape(layer.weight.shape))
    expected = stepped(linear, gradients)
    assert torch.equal(stepped(convolution, gradients), expected)
    assert torch.equal(stepped(innermost, gradients), expected)
    assert innermost.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("inputs", "rows"), [(8, 16), (1, 16)], ids=["wide", "tall"])
def test_groups_of_a_convolution_are_matrices_of_their_own(inputs: int, rows: int) -> None:
    grouped = nn.Conv2d(2 * inputs, 2 * rows, 3, groups=2, bias=False)
    halves = [nn.Conv2d(inputs, rows, 3, bias=False) for _ in range(2)]
    for half, weight in zip(halves, grouped.weight.detach().chunk(2), strict=True):
        half.weight.data.copy_(weight)
    gradients = drawn(2, 2 * rows, 9 * inputs)
    apart = [stepped(half, x) for half, x in zip(halves, gradients.chunk(2, 1), strict=True)]
    assert torch.allclose(stepped(grouped, gradients), torch.cat(apart), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(16, 48), (48, 16)])
def test_pytorchs_muon_moves_the_same_way(shape: tuple[int, int]) -> None:
    """Whose singular values are other ones about 1, computed in bfloat16."""
    ours, theirs = (nn.Linear(*shape[::-1], bias=False) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    before = ours.weight.detach().clone()
    gradients = drawn(2, *shape)
    optimizer = torch.optim.Muon(theirs.parameters(), 0.05, 0.1, momentum=0.95)
    for gradient in gradients:
        theirs.weight.grad = gradient
        optimizer.step()
    moved = theirs.weight.detach() - before
    found = stepped(ours, gradients) - before
    assert F.cosine_similarity(found.flatten(), moved.flatten(), dim=0) > 0.95
    assert 0.9 < found.norm() / moved.norm() < 1.2


def test_what_muon_moves() -> None:
    layers = nn.ModuleDict(
        {
            "linear": nn.Linear(8, 8),
            "small": nn.Linear(7, 64),
            "spectral": SpectralConv2d(3, 8, 3),
            "enlarging": nn.ConvTranspose2d(8, 8, 2),
            "table": nn.Embedding(20, 16),
            "norm": nn.GroupNorm(2, 8),
        }
    )
    optimizer = muon(layers, 1e-3, 0.05)
    names = {parameter: name for name, parameter in layers.named_parameters()}
    others, matrices = ({names[p] for p in x["params"]} for x in optimizer.param_groups)
    assert matrices == {
        "linear.weight", "spectral.parametrizations.weight.original", "enlarging.weight"
    }  # fmt: skip
    assert others == set(names.values()) - matrices
    assert [x["lr"] for x in optimizer.param_groups] == [1e-3, 0.05]


@pytest.mark.parametrize("kind", MODELS)
def test_every_parameter_of_every_model_is_in_one_group(kind: str) -> None:
    config = MODELS[kind].Config.preset("tiny", num_labels=5, size=(64, 64))
    model = build(config)
    groups = muon(model, 1e-3, 0.05).param_groups
    assert len(groups) > 1
    assert sorted(id(p) for x in groups for p in x["params"]) == sorted(
        id(p) for p in model.parameters()
    )


@pytest.mark.parametrize("scaled", [False, True])
def test_a_step_that_is_not_finite_is_left_out(scaled: bool) -> None:
    module = network()
    optimised = optimisation(module, scaled, max_grad_norm=1.0)
    seen = []
    for seed, factor in enumerate((1.0, float("nan"), 1.0)):
        backward(optimised, module, seed, factor)
        optimised.step()
        optimised.scaler.update()
        seen.append(kept(module, optimised.optimizer))
    assert [float(x) for x in optimised.take_skipped()] == [0, 1, 0]
    before, left_out, after = seen
    assert same(left_out, before)
    for name in before[0]:
        assert not torch.equal(after[0][name], before[0][name]), name
    assert {float(state["step"]) for state in after[1].values()} == {2}


def test_accumulated_gradients_are_a_step_of_their_mean() -> None:
    one, two = network(), network()
    whole, halves = optimisation(one), optimisation(two, accumulate=2)
    x = drawn(4, 8, 6, 6)
    whole.backward({"error": (1.0, one(x).square().mean())})
    for half in x.chunk(2):
        halves.backward({"error": (1.0, two(half).square().mean())})
    for each in (whole, halves):
        each.step(rate=0.5)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-4)


def test_a_state_goes_on_to_the_bit(tmp_path: Path) -> None:
    module = network()
    optimised = optimisation(module)
    for seed in range(2):
        backward(optimised, module, seed)
        optimised.step()
    torch.save(kept(module, optimised.optimizer)[0], tmp_path / "weights.pt")
    torch.save(optimised.optimizer.state_dict(), tmp_path / "optimizer.pt")
    twin = network()
    twin.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    again = optimisation(twin)
    state = {"optimizer": torch.load(tmp_path / "optimizer.pt", weights_only=True)}
    expect_optimizer(state, "optimizer", again, 2, set())
    again.optimizer.load_state_dict(state["optimizer"])
    for one, its in ((module, optimised), (twin, again)):
        backward(its, one, 2)
        its.step()
    assert same(kept(module, optimised.optimizer), kept(twin, again.optimizer))


def _negative(state: dict[str, Any]) -> None:
    state["state"][0]["exp_avg_sq"] -= 1e9


def _infinite(state: dict[str, Any]) -> None:
    state["state"][9]["momentum_buffer"] += torch.inf


def _of_adam(state: dict[str, Any]) -> None:
    state["state"][9]["exp_avg"] = state["state"][9].pop("momentum_buffer")


def _other_momentum(state: dict[str, Any]) -> None:
    state["param_groups"][1]["momentum"] = 0.9


def _without_matrices(state: dict[str, Any]) -> None:
    del state["param_groups"][2]["matrices"]


def _later(state: dict[str, Any]) -> None:
    state["state"][9]["step"] += 1


def _fewer(state: dict[str, Any]) -> None:
    del state["state"][9]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_negative, "parameter 0: exp_avg_sq is negative"),
        (_infinite, "parameter 9: momentum_buffer"),
        (_of_adam, "parameter 9 of another model .exp_avg is extra"),
        (_other_momentum, "momentum is 0.9, expected 0.95"),
        (_without_matrices, "of another optimiser"),
        (_later, "parameter 9: step is 2.0, expected 0 to 1"),
        (_fewer, "parameter 9 has no moments"),
    ],
)
def test_a_state_that_is_refused(damage: Callable[[Any], None], message: str) -> None:
    module = network()
    optimised = optimisation(module)
    backward(optimised, module, 0)
    optimised.step()
    state = {"optimizer": copy.deepcopy(optimised.optimizer.state_dict())}
    expect_optimizer(state, "optimizer", optimised, 1, set())
    damage(state["optimizer"])
    with pytest.raises(InputError, match=message):
        expect_optimizer(state, "optimizer", optimised, 1, set())


def test_states_of_muon_and_adamw_are_not_exchanged() -> None:
    module = network()
    ours = optimisation(module)
    theirs = Optimisation(adamw(module, 1e-2), ours.precision, ours.scaler)
    for one, other in ((ours, theirs), (theirs, ours)):
        state = {"optimizer": other.optimizer.state_dict()}
        with pytest.raises(InputError, match="optimizer: param_groups is"):
            expect_optimizer(state, "optimizer", one, 0, set())


def test_settings() -> None:
    assert SynthesisOptions(optimizer="muon", lr_muon=0.02).lr_muon == 0.02
    with pytest.raises(
        InputError, match=r"lr_muon=0\.02: expected together with optimizer='muon'"
    ):
        SynthesisOptions(lr_muon=0.02)
    with pytest.raises(InputError, match="optimizer='sgd': expected"):
        SynthesisOptions(optimizer="sgd")


@pytest.mark.slow
def test_a_resumed_run_has_the_same_bits(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    flags = [*FAST, "--optimizer", "muon", "--lr-muon", "0.02"]
    train.main([*flags, "--out", str(whole)])
    train.main([*flags, "--out", str(stopped), "--steps", "2"])
    with pytest.raises(InputError, match="--optimizer is 'muon' in this run, not 'adamw'"):
        train.main(["--resume", "--out", str(stopped), "--optimizer", "adamw"])
    train.main(["--resume", "--out", str(stopped), "--steps", "4"])
    one, two = (
        load_training(x / "checkpoints" / "step_0000004")["trainer"] for x in (whole, stopped)
    )
    assert same(one, two)
    assert "momentum_buffer" in one["optimizer"]["state"][len(one["optimizer"]["state"]) - 1]
    card = (stopped / "README.md").read_text()
    assert "muon" in card
    assert "0.02" in card
