# SPDX-License-Identifier: Apache-2.0
"""``indexed_affine``: every backend against the oracle, and the laws of a look-up."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from scam.ops import affine_library, dispatch, explain_affine, indexed_affine
from scam.ops.problem import AFFINE, LABEL_DTYPES, Problem
from scam.testing import (
    MAPS,
    AffineInputs,
    affine_outcome,
    assert_affine_matches_oracle,
    make_affine_inputs,
    poisoned_memory,
)
from scam.testing.affine import INDICES, STATISTICS

pytestmark = pytest.mark.usefixtures("one_thread")

FUSED = ("cpu",)
BITS: dict[str, float] = {"rtol": 0.0, "atol": 0.0}
ROUND_OFF = {"rtol": 1e-11, "atol": 1e-12}


def _available(name: str) -> str:
    why = dispatch.refusals(name, Problem("cpu", torch.float32, op=AFFINE))
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
        {"statistics": None, "outside": False},
        {"statistics": "batch", "kind": "noise"},
        {"memory": "channels_last", "channels": 37},
        {"memory": "channels_last", "channels": 192, "size": (9, 8)},
        {"memory": "channels_last", "channels": 96, "size": (9, 8)},
        {"memory": "sliced", "size": (24, 25), "outside": False},
        {"channels": 1, "size": (1, 1), "rows": 1, "batch": 3},
        {"channels": 5, "rows": 1, "size": (20, 20)},
        {"rows": 700, "size": (33, 40), "kind": "noise"},
        {"rows": 3, "size": (70, 90), "channels": 20},
    ],
    ids=str,
)
def test_matches_oracle(fused: str, dtype: torch.dtype, changes: dict[str, Any]) -> None:
    inputs = make_affine_inputs(dtype=dtype, **changes)
    with poisoned_memory():
        assert_affine_matches_oracle(inputs, backend=fused)


@pytest.mark.parametrize("index_dtype", LABEL_DTYPES, ids=str)
def test_index_dtypes(fused: str, index_dtype: torch.dtype) -> None:
    """A table may have more rows than a narrow index can name."""
    for rows in (5, 300):
        inputs = make_affine_inputs(rows=rows, index_dtype=index_dtype, size=(20, 20))
        assert_affine_matches_oracle(inputs, backend=fused)
    shared = replace(inputs, index=inputs.index[0])
    assert_affine_matches_oracle(shared, backend=fused)


def test_numbers_beyond_int32_are_outside(backend: str) -> None:
    inputs = make_affine_inputs()
    index = torch.tensor([2**32, -(2**32), 2**62, 5])[torch.arange(42) % 4].view(6, 7).mT
    found = affine_outcome(replace(inputs, index=index), backend=backend)
    assert not any(tensor.any() for tensor in found.values())


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0, 1.5])
def test_slopes(fused: str, slope: float) -> None:
    assert_affine_matches_oracle(make_affine_inputs(), backend=fused, negative_slope=slope)


def test_the_kink_belongs_to_the_negative_side(backend: str) -> None:
    x, shift = torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, requires_grad=True)
    index = torch.zeros(4, 8, dtype=torch.int64)
    y = indexed_affine(x, index, torch.ones(1, 2), shift, negative_slope=0.25, backend=backend)
    y.sum().backward()
    assert torch.equal(shift.grad, torch.full_like(shift, 0.25 * 32))


@st.composite
def problems(draw: Callable[..., Any]) -> dict[str, Any]:
    return {
        "batch": draw(st.integers(1, 3)),
        "channels": draw(st.one_of(st.integers(1, 40), st.sampled_from([64, 80]))),
        "size": (draw(st.integers(1, 40)), draw(st.integers(1, 40))),
        "rows": draw(st.one_of(st.integers(0, 9), st.sampled_from([300, 1100]))),
        "kind": draw(st.sampled_from(INDICES)),
        "outside": draw(st.booleans()),
        "statistics": draw(st.sampled_from(STATISTICS)),
        "memory": draw(st.sampled_from(MAPS)),
        "index_dtype": draw(st.sampled_from(LABEL_DTYPES)),
        "dtype": draw(st.sampled_from([torch.float64, torch.float32, torch.bfloat16])),
        "seed": draw(st.integers(0, 2**16)),
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(problem=problems(), slope=st.sampled_from([0.0, 0.2, 1.0]))
def test_random_problems(fused: str, problem: dict[str, Any], slope: float) -> None:
    with poisoned_memory():
        assert_affine_matches_oracle(
            make_affine_inputs(**problem), backend=fused, negative_slope=slope
        )


@pytest.mark.parametrize("changes", [{"batch": 0}, {"size": (0, 5)}, {"rows": 0}], ids=str)
@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_nothing_there(backend: str, changes: dict[str, Any], memory: str) -> None:
    inputs = make_affine_inputs(memory=memory, **changes)
    with poisoned_memory():
        found = affine_outcome(inputs, backend=backend)
    for name, tensor in found.items():
        assert not tensor.any(), name


@pytest.mark.parametrize("kind", INDICES)
def test_rows_that_no_pixel_reads(backend: str, kind: str) -> None:
    """Garbage in them changes no bit, and their gradients are exactly 0."""
    inputs = make_affine_inputs(rows=9, size=(20, 21), kind=kind)
    inputs = replace(inputs, index=torch.where(inputs.index == 2, -1, inputs.index))
    with poisoned_memory():
        wanted = affine_outcome(inputs, backend=backend)
    for garbage in (1e30, torch.inf, torch.nan):
        tables = {n: getattr(inputs, n).clone() for n in ("scale", "shift")}
        for table in tables.values():
            table[2] = table[8] = garbage
        found = affine_outcome(replace(inputs, **tables), backend=backend)
        torch.testing.assert_close(found, wanted, **BITS)
    for name in ("grad_scale", "grad_shift"):
        assert not wanted[name][[2, 8]].any()
        assert wanted[name][:2].any()


@pytest.mark.parametrize("memory", MAPS)
@pytest.mark.parametrize("garbage", [torch.inf, torch.nan])
def test_pixels_outside(backend: str, memory: str, garbage: float) -> None:
    """What they hold, and the gradient that arrives at them, reaches nothing."""
    inputs = make_affine_inputs(memory=memory, size=(16, 18))
    outside = ((inputs.index < 0) | (inputs.index >= 5))[:, None].expand_as(inputs.x)
    results = []
    for number in (0.0, garbage):
        leaves = replace(inputs, x=inputs.x.masked_fill(outside, number)).leaves()
        y = indexed_affine(**leaves.arguments(), negative_slope=0.2, backend=backend)
        y.backward(torch.ones_like(y).masked_fill(outside, number))
        results.append({"y": y.detach()} | leaves.gradients())
    torch.testing.assert_close(results[1], results[0], **BITS)
    assert not results[0]["y"][outside].any()
    assert not results[0]["grad_x"][outside].any()


@pytest.mark.parametrize("kind", INDICES)
@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_names_of_rows_do_not_matter(fused: str, kind: str, memory: str) -> None:
    inputs = make_affine_inputs(rows=40, size=(30, 31), kind=kind, memory=memory, outside=False)
    to = torch.randperm(40)
    tables = {n: getattr(inputs, n)[to.argsort()] for n in ("scale", "shift")}
    renamed = replace(inputs, index=to[inputs.index], **tables)
    wanted = affine_outcome(inputs, backend=fused)
    found = affine_outcome(renamed, backend=fused)
    for name in ("grad_scale", "grad_shift"):
        found[name] = found[name][to]
    torch.testing.assert_close(found, wanted, **BITS)


def test_one_row_is_a_plain_affine(fused: str) -> None:
    inputs = make_affine_inputs(rows=1, outside=False, size=(20, 25), statistics=None)
    wanted = F.leaky_relu(
        inputs.x * inputs.scale[0][:, None, None] + inputs.shift[0][:, None, None], 0.2
    )
    found = indexed_affine(**inputs.arguments(), negative_slope=0.2, backend=fused)
    torch.testing.assert_close(found, wanted)


def test_is_a_batch_norm(backend: str) -> None:
    inputs = make_affine_inputs(rows=1, outside=False, size=(9, 8), dtype=torch.float64)
    x = inputs.x.requires_grad_()
    norm = torch.nn.BatchNorm2d(16).double()
    wanted = norm(x)
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    found = indexed_affine(
        x, inputs.index, norm.weight[None], norm.bias[None], mean=mean,
        rstd=(variance + norm.eps).rsqrt(), backend=backend,
    )  # fmt: skip
    weights = torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view_as(x)
    grads = [torch.autograd.grad((y * weights).sum(), x) for y in (found, wanted)]
    torch.testing.assert_close((found, grads[0]), (wanted, grads[1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rows", [5, 500])
def test_splitting_the_batch(fused: str, dtype: torch.dtype, rows: int) -> None:
    """Changes no bit of what belongs to one image; sums over images are added in another order."""
    inputs = make_affine_inputs(batch=3, size=(50, 49), dtype=dtype, rows=rows)
    whole = affine_outcome(inputs, backend=fused)
    random = torch.Generator().manual_seed(1)
    grad = torch.randn(inputs.x.shape, generator=random, dtype=torch.float64).to(dtype)
    sums = {name: torch.zeros(rows, 16, dtype=torch.float64) for name in ("scale", "shift")}
    for b in range(3):
        one = {n: getattr(inputs, n)[b : b + 1] for n in ("x", "index", "mean", "rstd")}
        leaves = replace(inputs, **one).leaves()
        y = indexed_affine(**leaves.arguments(), negative_slope=0.2, backend=fused)
        y.backward(grad[b : b + 1])
        found = {"y": y.detach()} | leaves.gradients()
        for name in ("y", "grad_x", "grad_mean", "grad_rstd"):
            assert torch.equal(found[name], whole[name][b : b + 1]), name
        for name, total in sums.items():
            total += found[f"grad_{name}"]
    for name, total in sums.items():
        close = 16 * torch.finfo(dtype).eps
        torch.testing.assert_close(
            whole[f"grad_{name}"].double(),
            total,
            rtol=close,
            atol=close * float(total.abs().max()),
        )


@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("rows", [5, 2000])
def test_threads_and_repeats_change_no_bit(
    fused: str, memory: str, dtype: torch.dtype, rows: int
) -> None:
    inputs = make_affine_inputs(
        size=(70, 80), channels=40, memory=memory, dtype=dtype, rows=rows, kind="noise"
    )
    wanted = affine_outcome(inputs, backend=fused)
    for threads in (1, 2, 3, 2):
        torch.set_num_threads(threads)
        torch.testing.assert_close(affine_outcome(inputs, backend=fused), wanted, **BITS)


@pytest.mark.parametrize("kind", INDICES)
@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_sums_over_many_pixels_keep_their_digits(fused: str, kind: str, memory: str) -> None:
    """Terms of one sign, of which fp32 would lose the last digits of each."""
    inputs = make_affine_inputs(
        batch=1, channels=17, size=(300, 320), rows=3, kind=kind, memory=memory
    ).leaves()
    y = indexed_affine(**inputs.arguments(), backend=fused)
    gradient = torch.rand(y.shape, generator=torch.Generator().manual_seed(3)) + 0.5
    y.backward(gradient)
    for row in range(3):
        wanted = (gradient.double() * (inputs.index == row)[:, None]).sum((0, 2, 3))
        found = inputs.shift.grad[row].double()
        torch.testing.assert_close(found, wanted, rtol=4 * 2.0**-24, atol=0.0)


def test_memory_order_is_kept(backend: str) -> None:
    for memory in ("channels_first", "channels_last"):
        inputs = make_affine_inputs(memory=memory)
        x = inputs.x.requires_grad_()
        y = indexed_affine(**replace(inputs, x=x).arguments(), backend=backend)
        (grad,) = torch.autograd.grad(y.sum(), x)
        assert y.stride() == inputs.x.stride()
        if backend != "reference":
            assert grad.stride() == inputs.x.stride()


def _strided(x: Tensor, memory: str) -> Tensor:
    if memory == "every_third":
        wide = x.new_full((*x.shape[:-1], 3 * x.shape[-1]), 1e30 if x.is_floating_point() else 4)
        wide[..., ::3] = x
        return wide[..., ::3]
    if memory == "transposed":
        return x.mT.contiguous().mT
    if memory == "batch_last":
        return x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    if memory == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    return x


@pytest.mark.parametrize("memory", ["every_third", "transposed", "batch_last", "channels_last"])
@pytest.mark.parametrize("channels", [16, 37])
def test_any_strides(fused: str, memory: str, channels: int) -> None:
    inputs = make_affine_inputs(channels=channels, size=(20, 19), dtype=torch.float64)
    wanted = affine_outcome(inputs, backend=fused)
    index = _strided(inputs.index[:, None], memory)[:, 0]
    tables = {n: getattr(inputs, n).mT.contiguous().mT for n in ("scale", "shift")}
    other = replace(inputs, x=_strided(inputs.x, memory), index=index, **tables)
    torch.testing.assert_close(affine_outcome(other, backend=fused), wanted, **ROUND_OFF)


def test_expanded_arguments(fused: str) -> None:
    inputs = make_affine_inputs(size=(20, 19), dtype=torch.float64)
    for changes in (
        {"x": inputs.x[:1].expand(2, -1, -1, -1)},
        {"x": inputs.x[:, :1].expand(-1, 16, -1, -1)},
        {"x": inputs.x[:, :, :1, :1].expand(-1, -1, 20, 19)},
        {"scale": inputs.scale[:1].expand(5, -1), "mean": inputs.mean[:, :1].expand(-1, 16)},
    ):
        expanded = replace(inputs, **changes)
        plain = replace(inputs, **{name: t.contiguous() for name, t in changes.items()})
        wanted = affine_outcome(plain, backend=fused)
        torch.testing.assert_close(affine_outcome(expanded, backend=fused), wanted, **ROUND_OFF)


def test_gradients_of_another_memory_order_and_shape(fused: str) -> None:
    """What autograd hands over may be expanded or laid out unlike x."""
    for memory in ("channels_first", "channels_last"):
        results = []
        for grad_memory in ("channels_first", "channels_last", "expanded"):
            inputs = make_affine_inputs(size=(20, 19), dtype=torch.float64, memory=memory).leaves()
            y = indexed_affine(**inputs.arguments(), negative_slope=0.2, backend=fused)
            weights = torch.linspace(-1, 1, 16, dtype=y.dtype)[:, None, None].expand(y.shape)
            if grad_memory != "expanded":
                weights = _strided(weights.contiguous(), grad_memory)
            y.backward(weights)
            results.append(inputs.gradients())
        for other in results[1:]:
            torch.testing.assert_close(other, results[0], **ROUND_OFF)


@pytest.mark.parametrize("statistics", STATISTICS)
def test_gradcheck(backend: str, statistics: str | None) -> None:
    inputs = make_affine_inputs(
        channels=3, size=(3, 4), rows=4, dtype=torch.float64, statistics=statistics
    )
    leaves = {n: t for n, t in inputs.leaves().arguments().items() if t is not None}
    leaves = {n: t for n, t in leaves.items() if t.requires_grad}

    def look_up(*tensors: Tensor) -> Tensor:
        given = replace(inputs, **dict(zip(leaves, tensors, strict=True)))
        return indexed_affine(**given.arguments(), negative_slope=0.2, backend=backend)

    assert torch.autograd.gradcheck(look_up, tuple(leaves.values()))
    if backend == "reference":
        assert torch.autograd.gradgradcheck(look_up, tuple(leaves.values()))


def test_second_order_is_refused_in_words(fused: str) -> None:
    inputs = make_affine_inputs().leaves()
    y = indexed_affine(**inputs.arguments(), backend=fused)
    (grad,) = torch.autograd.grad(y.square().sum(), inputs.x, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"indexed_affine.*backend='reference'"):
        torch.autograd.grad(grad.square().sum(), inputs.x)


def test_backward_may_run_twice(fused: str) -> None:
    inputs = make_affine_inputs().leaves()
    y = indexed_affine(**inputs.arguments(), backend=fused).sum()
    first = torch.autograd.grad(y, inputs.x, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(y, inputs.x), first, **BITS)


def test_autograd_keeps_the_arguments_only(fused: str) -> None:
    inputs = make_affine_inputs().leaves()
    given = {t.data_ptr() for t in inputs.arguments().values()}
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        indexed_affine(**inputs.arguments(), backend=fused)
    assert kept
    assert {t.data_ptr() for t in kept} <= given


def test_autocast(backend: str) -> None:
    """x and tables are cast, statistics are not."""
    inputs = make_affine_inputs()
    wanted = indexed_affine(**inputs.to(torch.bfloat16).arguments(), backend=backend)
    leaves = inputs.leaves()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = indexed_affine(**leaves.arguments(), backend=backend)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, wanted)
    y.sum().backward()
    assert all(grad.dtype == torch.float32 for grad in leaves.gradients().values())


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(fused: str, dynamic: bool) -> None:
    torch._dynamo.reset()

    def loss_of(inputs: AffineInputs) -> Tensor:
        return indexed_affine(**inputs.arguments(), negative_slope=0.2, backend=fused).sin().sum()

    def run(function: Callable[[AffineInputs], Tensor], inputs: AffineInputs) -> list[Tensor]:
        leaves = inputs.leaves()
        loss = function(leaves)
        loss.backward()
        return [loss.detach(), *leaves.gradients().values()]

    compiled = torch.compile(loss_of, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    first = make_affine_inputs()
    torch.testing.assert_close(run(compiled, first), run(loss_of, first))
    other = make_affine_inputs(seed=3, **({"size": (9, 8), "rows": 30} if dynamic else {}))
    with torch._dynamo.config.patch(error_on_recompile=True):
        torch.testing.assert_close(run(compiled, other), run(loss_of, other))


@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
@pytest.mark.parametrize("statistics", [None, "image"])
def test_opcheck(fused: str, memory: str, statistics: str | None) -> None:
    inputs = make_affine_inputs(memory=memory, statistics=statistics)
    flat = {**inputs.arguments(), "x": inputs.x.flatten(2), "index": inputs.index.flatten(1)}
    arguments = (*flat.values(), 0.2, fused)
    torch.library.opcheck(affine_library.affine_fwd, arguments)
    y = affine_library.affine_fwd(*arguments)
    torch.library.opcheck(affine_library.affine_bwd, (torch.randn_like(y), *arguments))


def test_explain_lists_the_reasons() -> None:
    reasons = explain_affine(**make_affine_inputs().arguments())
    assert list(reasons)[-1] == "reference"
    assert reasons["cuda"]
    with pytest.raises(ValueError, match="negative_slope: expected at least 0, got -1"):
        explain_affine(**make_affine_inputs().arguments(), negative_slope=-1)


CASES: list[tuple[str, Callable[[Any], Any], type[Exception], str]] = [
    ("x", lambda t: t.tolist(), TypeError, "x: expected a tensor, got list"),
    ("x", lambda t: t.long(), TypeError, "x: expected a floating dtype"),
    ("x", lambda t: t[0], ValueError, "x: expected shape (B, C, H, W) with C >= 1, got"),
    ("index", lambda t: t.tolist(), TypeError, "index: expected a tensor, got list"),
    ("index", lambda t: t.float(), TypeError, "index: expected uint8, int8"),
    ("index", lambda t: t[:, :3], ValueError, "index: expected shape (2, 7, 6) or (7, 6), got"),
    ("index", lambda t: t.to("meta"), ValueError, "index is on meta, x on cpu"),
    ("scale", lambda t: t.double(), TypeError, "scale is torch.float64, x torch.float32"),
    ("scale", lambda t: t[:, :3], ValueError, "scale: expected shape (R, 16) to fit x, got"),
    ("shift", lambda t: t[0], ValueError, "shift: expected shape (R, 16) to fit x, got (16,)"),
    ("shift", lambda t: t[:3], ValueError, "shift: expected shape (5, 16) as of scale, got"),
    ("mean", lambda _: None, ValueError, "mean and rstd: expected both or neither"),
    ("mean", lambda t: t.tolist(), TypeError, "mean: expected a tensor, got list"),
    ("mean", lambda t: t.bfloat16(), TypeError, "mean: expected torch.float32 with x in torch.fl"),
    ("rstd", lambda t: t[:, :3], ValueError, "rstd: expected shape (16,) or (2, 16), got (2, 3)"),
    ("rstd", lambda t: t.to("meta"), ValueError, "rstd is on meta, x on cpu: expected one device"),
    ("negative_slope", lambda _: -0.1, ValueError, "negative_slope: expected at least 0, got"),
    ("negative_slope", lambda _: "steep", TypeError, "negative_slope: expected a number, got str"),
    ("backend", lambda _: "tpu", ValueError, "backend: expected one of"),
]  # fmt: skip


@pytest.mark.parametrize(("argument", "mutation", "kind", "message"), CASES)
def test_refused(
    argument: str, mutation: Callable[[Any], Any], kind: type[Exception], message: str
) -> None:
    arguments = make_affine_inputs().arguments()
    arguments |= {"negative_slope": 0.2, "backend": "reference"}
    arguments[argument] = mutation(arguments[argument])
    with pytest.raises(kind) as caught:
        indexed_affine(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_large_is_refused() -> None:
    huge = torch.zeros(1).expand(1, 1, 2**30, 2**30)
    index, table = torch.zeros(1, dtype=torch.uint8).expand(2**30, 2**30), torch.zeros(1, 1)
    with pytest.raises(ValueError, match=r"channels below 2\^48, got x \("):
        indexed_affine(huge, index, table, table)
