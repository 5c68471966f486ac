# SPDX-License-Identifier: Apache-2.0
"""``semantic_modulation``: every backend against the oracle, and the laws of a label mask."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from scam.ops import SemanticLayout, dispatch, modulation_library, semantic_modulation
from scam.ops.problem import MODULATION, Problem
from scam.testing import (
    ModulationInputs,
    assert_modulation_matches_oracle,
    make_modulation_inputs,
    modulation_outcome,
    poisoned_memory,
)

pytestmark = pytest.mark.usefixtures("one_thread")

FUSED = ("cpu",)
BITS: dict[str, float] = {"rtol": 0.0, "atol": 0.0}
ROUND_OFF = {"rtol": 1e-10, "atol": 1e-11}


def _available(name: str) -> str:
    why = dispatch.refusals(name, Problem("cpu", torch.float32, op=MODULATION))
    if why:
        pytest.skip(f"{name}: {', '.join(why)}")
    return name


@pytest.fixture(params=("reference", *FUSED))
def backend(request: pytest.FixtureRequest) -> str:
    return _available(request.param)


@pytest.fixture(params=FUSED)
def fused(request: pytest.FixtureRequest) -> str:
    return _available(request.param)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"extras": False},
        {"memory": "channels_last", "channels": 37},
        {"memory": "sliced", "size": (24, 25)},
        {"heads": 3, "tokens": 17},
        {"channels": 5, "tokens": 3},
        {"tokens": 200, "num_labels": 3},  # more tokens of a label than are held at once
        {"tokens": 60, "num_labels": 60, "size": (33, 40)},  # labels without tokens, noise
        {"size": (40, 33), "num_labels": 2, "channels": 100, "tokens": 8},
        {"size": (70, 60), "num_labels": 1, "batch": 1},  # no tokens at all but ignored pixels
    ],
    ids=str,
)
def test_matches_oracle(fused: str, dtype: torch.dtype, changes: dict[str, Any]) -> None:
    inputs = make_modulation_inputs(dtype=dtype, **changes)
    with poisoned_memory():
        assert_modulation_matches_oracle(inputs, backend=fused)


@pytest.mark.parametrize(
    "label_dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64], ids=str
)
def test_label_dtypes(fused: str, label_dtype: torch.dtype) -> None:
    inputs = make_modulation_inputs(label_dtype=label_dtype)
    assert_modulation_matches_oracle(inputs, backend=fused)
    shared = replace(inputs, labels=inputs.labels[0], token_labels=inputs.token_labels[0])
    assert_modulation_matches_oracle(shared, backend=fused)


def test_options(fused: str) -> None:
    inputs = make_modulation_inputs()
    for slope in (0.0, 1.0, 1.5):
        assert_modulation_matches_oracle(inputs, backend=fused, negative_slope=slope, eps=0.1)


def test_the_kink_belongs_to_the_negative_side(backend: str) -> None:
    x = torch.zeros(1, 2, 2, 2, requires_grad=True)
    token = torch.zeros(1, 1, 1, 2)
    beta = torch.zeros(1, 1, 1, 2, requires_grad=True)
    labels = torch.zeros(1, 2, 2, dtype=torch.int64)
    y = semantic_modulation(
        x, labels, token, token[..., 0], token, beta, labels[:, 0, :1], backend=backend
    )
    y.sum().backward()
    assert torch.equal(beta.grad, torch.full_like(beta, 0.2 * 4))


@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_a_mean_far_from_zero_costs_no_digits(fused: str, memory: str) -> None:
    inputs = make_modulation_inputs(size=(64, 70), memory=memory)
    far = replace(inputs, x=inputs.x * 0.1 + 1000)
    exact = far.to(torch.float64).x
    got = modulation_outcome(far, backend=fused)["y"]
    wanted = modulation_outcome(far.to(torch.float64), backend="reference")["y"]
    lost = torch.finfo(torch.float32).eps * exact.abs().max() / exact.std(dim=(2, 3)).min()
    scale = 1 + wanted.abs().max()
    assert (got - wanted).abs().max() < 4 * lost * scale


def test_one_pixel_is_its_own_mean(backend: str) -> None:
    inputs = make_modulation_inputs(size=(1, 1), dtype=torch.float64)
    found = modulation_outcome(inputs, backend=backend)
    wanted = modulation_outcome(inputs, backend="reference")
    torch.testing.assert_close(found, wanted, **ROUND_OFF)


@pytest.mark.parametrize(
    "changes", [{"batch": 0}, {"size": (0, 5)}, {"tokens": 0}, {"tokens": 0, "extras": False}]
)
@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_nothing_there(backend: str, changes: dict[str, Any], memory: str) -> None:
    inputs = make_modulation_inputs(memory=memory, **changes)
    with poisoned_memory():
        found = modulation_outcome(inputs, backend=backend)
    wanted = modulation_outcome(inputs, backend="reference")
    torch.testing.assert_close(found, wanted)
    for name in ("grad_keys", "grad_gamma", "grad_beta", "grad_key_bias"):
        assert not found[name].any(), name


def test_absent_labels_get_zero_gradients(fused: str) -> None:
    inputs = make_modulation_inputs()
    only = replace(inputs, labels=torch.ones_like(inputs.labels))
    with poisoned_memory():
        found = modulation_outcome(only, backend=fused)
    unread = (only.token_labels != 1)[:, None]
    for name in ("grad_keys", "grad_gamma", "grad_beta", "grad_key_bias"):
        assert not found[name][unread].any(), name
        assert found[name][~unread].any(), name
    assert not found["grad_default_gamma"].any()


def test_memory_order_is_kept(fused: str) -> None:
    for memory in ("channels_first", "channels_last"):
        inputs = make_modulation_inputs(memory=memory)
        x = inputs.x.requires_grad_()
        y = semantic_modulation(**replace(inputs, x=x).arguments(), backend=fused)
        (grad,) = torch.autograd.grad(y.sum(), x)
        assert y.stride() == inputs.x.stride()
        assert grad.stride() == inputs.x.stride()


def test_gradients_of_another_memory_order_and_shape(fused: str) -> None:
    """What autograd hands over may be expanded or laid out unlike x."""
    results = []
    for grad_memory in ("channels_first", "channels_last", "expanded"):
        inputs = make_modulation_inputs(size=(9, 11), dtype=torch.float64)
        leaves = inputs.leaves()
        y = semantic_modulation(**leaves.arguments(), backend=fused)
        weights = torch.linspace(-1, 1, y.shape[1], dtype=y.dtype)[:, None, None].expand(y.shape)
        if grad_memory != "expanded":
            weights = weights.contiguous()
        if grad_memory == "channels_last":
            weights = weights.contiguous(memory_format=torch.channels_last)
        y.backward(weights)
        results.append(leaves.gradients())
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], **BITS)


def _tokens(inputs: ModulationInputs, change: Callable[[Tensor], Tensor]) -> ModulationInputs:
    names = ("keys", "key_bias", "gamma", "beta")
    return replace(inputs, **{name: change(getattr(inputs, name)) for name in names})


def test_the_order_of_tokens_does_not_matter(backend: str) -> None:
    inputs = make_modulation_inputs(dtype=torch.float64, tokens=40)
    shuffle = torch.randperm(40)
    shuffled = _tokens(inputs, lambda t: t[:, :, shuffle])
    shuffled = replace(shuffled, token_labels=inputs.token_labels[:, shuffle])
    wanted = modulation_outcome(inputs, backend=backend)
    for name in ("grad_keys", "grad_key_bias", "grad_gamma", "grad_beta"):
        wanted[name] = wanted[name][:, :, shuffle]
    torch.testing.assert_close(modulation_outcome(shuffled, backend=backend), wanted, **ROUND_OFF)


@pytest.mark.parametrize("names", [[70, 3, 200, 11, 0, -7], [2**40, 5, 4096, 2**62, 9, -(2**50)]])
def test_names_of_labels_do_not_matter(fused: str, names: list[int]) -> None:
    inputs = make_modulation_inputs(size=(30, 31))
    table = torch.tensor(names)  # the last names the ignored
    renamed = replace(inputs, labels=table[inputs.labels], token_labels=table[inputs.token_labels])
    wanted = modulation_outcome(inputs, backend=fused)
    torch.testing.assert_close(modulation_outcome(renamed, backend=fused), wanted, **BITS)


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, 1e30])
def test_tokens_of_other_labels_change_no_bit(fused: str, garbage: float) -> None:
    inputs = make_modulation_inputs(tokens=40)
    inputs = replace(inputs, labels=torch.where(inputs.labels == 2, 1, inputs.labels))
    bad = (inputs.token_labels == 2) | (inputs.token_labels < 0)
    assert bad.any()
    dirty = _tokens(
        inputs,
        lambda t: t.masked_fill(bad.view(2, 1, -1, *[1] * (t.dim() - 3)), garbage),
    )
    wanted = modulation_outcome(inputs, backend=fused)
    torch.testing.assert_close(modulation_outcome(dirty, backend=fused), wanted, **BITS)


def test_garbage_of_one_label_stays_with_its_pixels(fused: str) -> None:
    inputs = make_modulation_inputs(tokens=40)
    bad = inputs.token_labels == 2
    dirty = _tokens(
        inputs, lambda t: t.masked_fill(bad.view(2, 1, -1, *[1] * (t.dim() - 3)), torch.nan)
    )
    wanted = semantic_modulation(**inputs.arguments(), backend=fused)
    found = semantic_modulation(**dirty.arguments(), backend=fused)
    clean = (inputs.labels != 2)[:, None].expand_as(found)
    assert torch.equal(found[clean], wanted[clean])
    assert found[~clean].isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_splitting_the_batch_changes_no_bit(fused: str, dtype: torch.dtype) -> None:
    inputs = make_modulation_inputs(batch=3, size=(30, 31), dtype=dtype)
    whole = modulation_outcome(inputs, backend=fused)
    for b in range(3):
        rows = {
            name: value[b : b + 1]
            for name, value in inputs.arguments().items()
            if name not in ("position", "default_gamma", "noise_scale")
        }
        leaves = replace(inputs, **rows).leaves()
        y = semantic_modulation(**leaves.arguments(), backend=fused)
        random = torch.Generator().manual_seed(1)
        grad = torch.randn(inputs.x.shape, generator=random, dtype=torch.float64)[b : b + 1]
        y.backward(grad.to(dtype))
        found = {"y": y.detach()} | leaves.gradients()
        for name in set(found) - {"grad_default_gamma", "grad_noise_scale"}:
            assert torch.equal(found[name], whole[name][b : b + 1]), name


@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_threads_and_repeats_change_no_bit(fused: str, memory: str, dtype: torch.dtype) -> None:
    inputs = make_modulation_inputs(size=(50, 60), channels=40, memory=memory, dtype=dtype)
    wanted = modulation_outcome(inputs, backend=fused)
    for threads in (1, 2, 3, 2):
        torch.set_num_threads(threads)
        torch.testing.assert_close(modulation_outcome(inputs, backend=fused), wanted, **BITS)


def test_gradcheck(backend: str) -> None:
    inputs = make_modulation_inputs(
        batch=2, heads=2, channels=3, size=(3, 4), tokens=6, num_labels=3, dtype=torch.float64
    )
    leaves = {n: t for n, t in inputs.leaves().arguments().items() if t.requires_grad}

    def modulate(*tensors: Tensor) -> Tensor:
        given = replace(inputs, **dict(zip(leaves, tensors, strict=True)))
        return semantic_modulation(**given.arguments(), backend=backend)

    assert torch.autograd.gradcheck(modulate, tuple(leaves.values()))


def test_defaults_for_all_images_or_each(backend: str) -> None:
    inputs = make_modulation_inputs()
    each = replace(inputs, default_gamma=inputs.default_gamma.expand(2, -1))
    wanted = modulation_outcome(inputs, backend=backend)
    each = replace(each, default_gamma=each.default_gamma.clone())
    found = modulation_outcome(each, backend=backend)
    assert found["grad_default_gamma"].shape == (2, 16)
    found["grad_default_gamma"] = found["grad_default_gamma"].sum(0)
    torch.testing.assert_close(found, wanted)


def test_layouts_are_accepted(fused: str) -> None:
    inputs = make_modulation_inputs()
    wanted = modulation_outcome(inputs, backend=fused)
    pixels = SemanticLayout.build(inputs.labels, 5)
    tokens = SemanticLayout.build(inputs.token_labels, 5)
    for changes in ({"labels": pixels}, {"labels": pixels, "token_labels": tokens}):
        found = modulation_outcome(replace(inputs, **changes), backend=fused)
        torch.testing.assert_close(found, wanted, **BITS)


def test_second_order_is_refused_in_words(fused: str) -> None:
    inputs = make_modulation_inputs().leaves()
    y = semantic_modulation(**inputs.arguments(), backend=fused)
    (grad,) = torch.autograd.grad(y.square().sum(), inputs.x, create_graph=True)
    with pytest.raises(NotImplementedError, match="backend='reference'"):
        torch.autograd.grad(grad.square().sum(), inputs.x)


def test_backward_may_run_twice(fused: str) -> None:
    inputs = make_modulation_inputs().leaves()
    y = semantic_modulation(**inputs.arguments(), backend=fused).sum()
    first = torch.autograd.grad(y, inputs.x, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(y, inputs.x), first, **BITS)


def test_autograd_keeps_x_and_small_things_only(fused: str) -> None:
    channels, pixels, tokens, batch = 16, 48 * 48, 24, 2
    inputs = make_modulation_inputs(channels=channels, size=(48, 48), tokens=tokens).leaves()
    given = {t.data_ptr() for t in inputs.arguments().values()}
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        semantic_modulation(**inputs.arguments(), backend=fused)
    own = [t for t in kept if t.data_ptr() not in given]
    assert own
    assert sum(t.numel() for t in own) <= batch * (2 * pixels + 2 * channels + 2 * channels)


def test_autocast(backend: str) -> None:
    inputs = make_modulation_inputs()
    wanted = semantic_modulation(**inputs.to(torch.bfloat16).arguments(), backend=backend)
    leaves = inputs.leaves()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = semantic_modulation(**leaves.arguments(), backend=backend)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, wanted)
    y.sum().backward()
    assert leaves.x.grad.dtype == leaves.keys.grad.dtype == torch.float32


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(fused: str, dynamic: bool) -> None:
    torch._dynamo.reset()

    def loss_of(inputs: ModulationInputs) -> Tensor:
        return semantic_modulation(**inputs.arguments(), backend=fused).sin().sum()

    def run(function: Callable[[ModulationInputs], Tensor], inputs: ModulationInputs) -> list:
        leaves = inputs.leaves()
        loss = function(leaves)
        loss.backward()
        return [loss.detach(), leaves.x.grad, leaves.gamma.grad]

    compiled = torch.compile(loss_of, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    first = make_modulation_inputs()
    torch.testing.assert_close(run(compiled, first), run(loss_of, first))
    other = make_modulation_inputs(seed=3, **({"size": (9, 8), "tokens": 30} if dynamic else {}))
    with torch._dynamo.config.patch(error_on_recompile=True):
        torch.testing.assert_close(run(compiled, other), run(loss_of, other))


@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
@pytest.mark.parametrize("extras", [False, True])
def test_opcheck(fused: str, memory: str, extras: bool) -> None:
    inputs = make_modulation_inputs(memory=memory, extras=extras)
    given = inputs.arguments()
    flat = dict(given, x=inputs.x.flatten(2), labels=inputs.labels.flatten(1))
    if extras:
        flat["position"] = inputs.position.flatten(1)
        flat["noise"] = inputs.noise.flatten(1)
        for name in ("default_gamma", "default_beta"):
            flat[name] = given[name].expand(2, -1)
    options = (None, None, None, None, 1e-5, 0.2, fused)
    arguments = (*flat.values(), *options)
    torch.library.opcheck(modulation_library.modulation_fwd, arguments)
    y, *statistics = modulation_library.modulation_fwd(*arguments)
    of_backward = (torch.randn_like(y), *flat.values(), *statistics, *options)
    torch.library.opcheck(modulation_library.modulation_bwd, of_backward)


CASES: list[tuple[str, Callable[[Any], Any], type[Exception], str]] = [
    ("x", lambda t: t.tolist(), TypeError, "x: expected a tensor, got list"),
    ("x", lambda t: t.long(), TypeError, "x: expected a floating dtype"),
    ("x", lambda t: t[0], ValueError, "x: expected shape (B, C, H, W)"),
    ("keys", lambda t: t.double(), TypeError, "keys is torch.float64, x torch.float32"),
    ("keys", lambda t: t[..., :3], ValueError, "keys: expected shape (2, heads, m, 16)"),
    ("key_bias", lambda t: t[:, :, :3], ValueError, "key_bias: expected shape (2, 1, 24), got"),
    ("gamma", lambda t: t[:1], ValueError, "gamma: expected shape (2, 1, 24, 16), got"),
    ("beta", lambda t: t[..., 0], ValueError, "beta: expected shape (2, 1, 24, 16), got"),
    ("labels", lambda t: t.float(), TypeError, "labels: expected uint8"),
    ("labels", lambda t: t[:, :3], ValueError, "labels: expected shape"),
    ("token_labels", lambda t: t[:, :5], ValueError, "token_labels: expected shape (2, 24) or"),
    ("position", lambda t: t[:3], ValueError, "position: expected shape (16, 7, 6), got"),
    (
        "position",
        lambda t: t.requires_grad_(),
        ValueError,
        "position requires a gradient",
    ),
    ("default_beta", lambda t: t[:1], ValueError, "default_beta: expected shape (16,) or (2, 16)"),
    ("noise", lambda t: t[:, 0], ValueError, "noise: expected shape (2, 1, 7, 6), got"),
    ("noise", lambda _: None, ValueError, "noise and noise_scale: expected both or neither"),
    ("noise_scale", lambda t: t[:2], ValueError, "noise_scale: expected shape (16,), got"),
    ("eps", lambda _: -1.0, ValueError, "eps: expected at least 0, got -1.0"),
    ("negative_slope", lambda _: "steep", TypeError, "negative_slope: expected a number, got"),
    ("backend", lambda _: "tpu", ValueError, "backend: expected one of"),
]


@pytest.mark.parametrize(("argument", "mutation", "kind", "message"), CASES)
def test_refused(
    argument: str, mutation: Callable[[Any], Any], kind: type[Exception], message: str
) -> None:
    given = make_modulation_inputs().arguments()
    given |= {"eps": 1e-5, "negative_slope": 0.2, "backend": "reference"}
    given[argument] = mutation(given[argument])
    with pytest.raises(kind) as caught:
        semantic_modulation(**given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
