# SPDX-License-Identifier: Apache-2.0
"""Which backends a test runs on; a skip carries the backend's own words."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from scam.ops import dispatch, sorting_library
from scam.ops.backends import cpu
from scam.ops.problem import Problem

sys.path.insert(0, str(Path(__file__).parent))
import toy_backend

FUSED = ("cpu", "toy")
ISAS = ("plain", "avx2", "avx512")


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set that this machine has, asked of the CPU kernels."""
    monkeypatch.setenv("SCAM_CPU_ISA", request.param)
    try:
        assert cpu.isa() == request.param
    except RuntimeError as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For small problems, of which two threads would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _forget() -> None:
    """What backends said in other tests."""
    dispatch.load.cache_clear()
    dispatch._refusals.cache_clear()


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(sys.modules, "scam.ops.backends.toy", toy_backend)
    monkeypatch.setattr(dispatch, "ORDER", (*dispatch.ORDER, "toy"))
    monkeypatch.setattr(sorting_library, "SORTING", (*sorting_library.SORTING, "toy"))
    return "toy"


def _available(name: str, request: pytest.FixtureRequest) -> str:
    if name == "toy":
        return request.getfixturevalue("toy")
    why = dispatch.refusals(name, Problem("cpu", torch.float32))
    if why:
        pytest.skip(f"{name}: {', '.join(why)}")
    return name


@pytest.fixture(params=("reference", *FUSED))
def backend(request: pytest.FixtureRequest) -> str:
    """Every backend that works here."""
    return _available(request.param, request)


@pytest.fixture(params=FUSED)
def fused(request: pytest.FixtureRequest) -> str:
    """Every backend that goes through torch.library."""
    return _available(request.param, request)


@pytest.fixture
def compiled_backend(request: pytest.FixtureRequest) -> str:
    """The compiled backend, else the toy: for tests too slow to repeat."""
    built = not dispatch.refusals("cpu", Problem("cpu", torch.float32))
    return "cpu" if built else request.getfixturevalue("toy")
