# SPDX-License-Identifier: Apache-2.0
import inspect
import threading
import types
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from scam.nn.gradient_checkpointing import checkpointed
from scam.ops import (
    attention_library,
    backend_names,
    dispatch,
    explain,
    explain_affine,
    explain_modulation,
    indexed_affine,
    semantic_cross_attention,
    semantic_modulation,
    use_backend,
)
from scam.ops.problem import Problem, capability_of
from scam.testing import make_inputs, make_modulation_inputs

FP32 = Problem("cpu", torch.float32)


def test_names_in_order_of_preference() -> None:
    assert backend_names()[-1] == "reference"
    assert len(set(backend_names())) == len(backend_names())


def test_adding_a_file_and_a_name_is_enough(toy: str) -> None:
    assert toy in backend_names()
    inputs = make_inputs().leaves()
    out = semantic_cross_attention(*inputs.arguments(), backend=toy)
    assert type(out.grad_fn).__name__ == "_AttendBackward"
    out.sum().backward()
    assert inputs.query.grad is not None


def test_a_forced_backend_that_refuses_names_who_would_serve(toy: str) -> None:
    inputs = make_inputs().to(torch.float16)
    with pytest.raises(ValueError, match=r"'toy' cannot serve.*dislikes fp16.*: reference$"):
        semantic_cross_attention(*inputs.arguments(), backend=toy)


def test_explain_lists_the_reasons(toy: str) -> None:
    reasons = explain(*make_inputs().to(torch.float16).arguments())
    assert list(reasons) == list(backend_names())
    assert reasons["toy"] == ["toy dislikes fp16"]
    assert reasons["reference"] == []


def test_explain_modulation_lists_the_reasons(toy: str) -> None:
    arguments = make_modulation_inputs().arguments()
    reasons = explain_modulation(**arguments)
    assert list(reasons) == list(backend_names())
    assert reasons["toy"] == ["has no semantic_modulation"]
    assert reasons["reference"] == []
    with pytest.raises(ValueError, match="eps: expected at least 0, got -1"):
        explain_modulation(**arguments, eps=-1)


@pytest.mark.parametrize(
    ("call", "explained"),
    [
        (semantic_cross_attention, explain),
        (semantic_modulation, explain_modulation),
        (indexed_affine, explain_affine),
    ],
)
def test_what_explains_takes_every_argument_of_the_call(
    call: Callable[..., Any], explained: Callable[..., Any]
) -> None:
    ours, theirs = (inspect.signature(function).parameters for function in (explained, call))
    assert dict(ours) == dict(theirs)


def test_a_forced_backend_is_explained_as_any_other(toy: str) -> None:
    arguments = make_inputs().to(torch.float16).arguments()
    forced = explain(*arguments, return_lse=True, backend=toy)
    assert forced == explain(*arguments)
    with pytest.raises(ValueError, match=r"backend: expected one of .*, got 'gpu'"):
        explain(*arguments, backend="gpu")


def _missing(monkeypatch: pytest.MonkeyPatch, why: list[str]) -> None:
    absent = types.SimpleNamespace(name="absent", refusals=lambda problem: why)
    monkeypatch.setitem(__import__("sys").modules, "scam.ops.backends.absent", absent)
    monkeypatch.setattr(dispatch, "ORDER", ("absent", "reference"))
    monkeypatch.setattr(dispatch, "_warned", set())


def test_what_helps_on_this_device_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_warned", set())
    with pytest.warns(
        RuntimeWarning, match="slow: backend 'cpu': float16 .* use bf16, .* 'triton'"
    ):
        dispatch.choose(Problem("cpu", torch.float16))
    with pytest.warns(
        RuntimeWarning, match="slow: backend 'triton': .* 'cuda': .*backend 'cpu': "
    ):
        dispatch.choose(Problem("mps", torch.float16))


def test_ending_at_the_reference_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _missing(monkeypatch, ["not built: run `pip install .`"])
    arguments = make_inputs().arguments()
    with pytest.warns(RuntimeWarning, match="dense.*'absent': not built: run `pip") as caught:
        semantic_cross_attention(*arguments)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        semantic_cross_attention(*arguments)


def test_each_gpu_is_judged_by_its_own_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(7, 5), (9, 0)]
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(found))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: found[index])

    def refusals(problem: Problem) -> list[str]:
        return [] if problem.capability == (9, 0) else ["too old"]

    module = types.SimpleNamespace(name="modern", refusals=refusals)
    monkeypatch.setitem(__import__("sys").modules, "scam.ops.backends.modern", module)
    monkeypatch.setattr(dispatch, "ORDER", ("modern", "reference"))
    old, new = (
        Problem("cuda", torch.float32, capability=capability_of(torch.device("cuda", index)))
        for index in range(2)
    )
    assert dispatch.choose(new) == "modern"
    assert dispatch.refusals("modern", old) == ["too old"]
    assert dispatch.choose(new) == "modern"
    assert capability_of(torch.device("cuda", 2)) is None
    assert capability_of(torch.device("cpu")) is None


def test_asking_for_the_reference_is_not_commented(monkeypatch: pytest.MonkeyPatch) -> None:
    _missing(monkeypatch, ["not built"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        semantic_cross_attention(*make_inputs().arguments(), backend="reference")
        with use_backend("reference"):
            semantic_cross_attention(*make_inputs().arguments())


def test_a_backend_that_cannot_be_imported_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "ORDER", ("imaginary", "reference"))
    (reason,) = dispatch.refusals("imaginary", FP32)
    assert reason.startswith("cannot be imported: No module named")


def test_an_error_inside_a_backend_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(problem: Problem) -> list[str]:
        raise ZeroDivisionError

    module = types.SimpleNamespace(name="broken", refusals=broken)
    monkeypatch.setitem(__import__("sys").modules, "scam.ops.backends.broken", module)
    with pytest.raises(ZeroDivisionError):
        dispatch.refusals("broken", FP32)


def test_the_first_that_serves_is_chosen(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "ORDER", ("toy", "reference"))
    assert dispatch.choose(FP32) == "toy"
    monkeypatch.setattr(dispatch, "_warned", set())
    with pytest.warns(RuntimeWarning, match="dislikes fp16"):
        assert dispatch.choose(Problem("cpu", torch.float16)) == "reference"


def test_a_graph_made_elsewhere_is_refused_in_words() -> None:
    rows = (None,) * 4
    arguments = make_inputs().arguments()
    for name, words in (("tpu", "expected one of"), ("reference", "is not an operator")):
        with pytest.raises(ValueError, match=words):
            attention_library.sca_fwd(*arguments, *rows, 0.25, "zero", name)


def test_use_backend_nests_and_yields_to_the_argument(toy: str) -> None:
    with use_backend("toy"):
        assert dispatch.choose(FP32) == "toy"
        with use_backend("reference"):
            assert dispatch.choose(FP32) == "reference"
            assert dispatch.choose(FP32, "toy") == "toy"
        assert dispatch.choose(FP32) == "toy"
    assert dispatch.forced() is None


def test_use_backend_ends_with_an_error(toy: str) -> None:
    with pytest.raises(KeyError), use_backend("toy"):
        raise KeyError
    assert dispatch.forced() is None


def test_built_backends_are_preferred() -> None:
    why = dispatch.refusals("cpu", FP32)
    if why:
        pytest.skip(f"cpu: {', '.join(why)}")
    assert dispatch.choose(FP32) == "cpu"


def test_use_backend_is_of_its_thread(toy: str) -> None:
    """Two blocks that overlap, each left before the other, leave nothing forced."""
    entered, left = threading.Event(), threading.Event()
    seen = []

    def other() -> None:
        with use_backend(toy):
            entered.set()
            left.wait(10)
            seen.append(dispatch.forced())
        seen.append(dispatch.forced())

    thread = threading.Thread(target=other)
    with use_backend("reference"):
        thread.start()
        entered.wait(10)
        assert dispatch.forced() == "reference"
    left.set()
    thread.join(10)
    assert seen == [toy, None]
    assert dispatch.forced() is None


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_checkpointed_block_is_computed_again_by_its_backend(toy: str, elsewhere: bool) -> None:
    seen = []

    def block(x: torch.Tensor) -> torch.Tensor:
        seen.append(dispatch.forced())
        return x.sin()

    x = torch.ones(3, requires_grad=True)
    with use_backend(toy):
        loss = checkpointed(block, x, on=True).sum()
    if elsewhere:
        thread = threading.Thread(target=loss.backward)
        thread.start()
        thread.join(10)
    else:
        loss.backward()
    assert seen == [toy, toy]
