# SPDX-License-Identifier: Apache-2.0
"""Options, the machine's record, and the fixture that runs a contest of contenders."""

import os
from pathlib import Path
from typing import Any

# Before torch is imported: its threads spin while they wait, which ruins timings beside other
# processes (see scam/__init__.py).
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import pytest
import torch

from benchmarks import cases, machine
from benchmarks.contest import Contest
from scam.ops.problem import dtype_name

RESULTS = Path(__file__).parent / "results" / "latest.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("scam benchmarks")
    group.addoption("--suite", choices=cases.SUITES, default="default", help="how much to run")
    group.addoption("--no-compile", action="store_true", help="leave out what torch.compile makes")
    group.addoption("--label-maps", type=Path, help="folder of label maps (png) to measure on")
    group.addoption(
        "--bench-device", choices=("cpu", "cuda"), help="default: cuda if there is one"
    )
    group.addoption(
        "--budget", type=float, default=3.0, metavar="S", help="seconds of rounds in a case"
    )
    group.addoption(
        "--lines", type=Path, metavar="FILE", help="add each result to a .jsonl file at once"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cases(table): a benchmark's cases, cut by --suite")
    # Without --benchmark-json the results still go somewhere.
    if config.getoption("benchmark_only", False) and not config.getoption("benchmark_json", None):
        RESULTS.parent.mkdir(exist_ok=True)
        config.option.benchmark_json = str(RESULTS)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``case`` of a test runs over the table its marker ``cases`` names, cut by ``--suite``."""
    marker = metafunc.definition.get_closest_marker("cases")
    if marker is None:
        return
    suite = metafunc.config.getoption("--suite")
    chosen = [case for case in marker.args[0] if cases.held(suite, case.suite)]
    if marker.kwargs.get("real"):
        chosen += cases.real(marker.args[0], metafunc.config.getoption("--label-maps"))
    if metafunc.config.getoption("--no-compile"):
        chosen = [cases.without_compile(case) for case in chosen]
    metafunc.parametrize("case", chosen, ids=[case.id for case in chosen])


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    asked = request.config.getoption("--bench-device")
    return torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))


@pytest.fixture(scope="session")
def record(device: torch.device) -> dict[str, Any]:
    """What this machine is and can, measured in this very run."""
    machine.keep_freed_memory()
    dtype = getattr(torch, cases.SETTINGS[device.type].dtype)
    return {
        **machine.describe(device),
        "dtype": dtype_name(dtype),
        "copy_bytes_per_s": machine.copy_bandwidth(device),
        "matmul_flops_per_s": machine.multiply_rate(device, dtype),
    }


@pytest.fixture
def contest(
    benchmark: Any, request: pytest.FixtureRequest, device: torch.device, record: dict[str, Any]
) -> Contest:
    options = request.config.getoption
    return Contest(benchmark, device, record, options("--budget"), options("--lines"))


@pytest.fixture
def label_maps(request: pytest.FixtureRequest) -> Path | None:
    folder: Path | None = request.config.getoption("--label-maps")
    return folder
