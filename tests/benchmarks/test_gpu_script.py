# SPDX-License-Identifier: Apache-2.0
"""``benchmarks/gpu.sh`` without a GPU: every command it runs is one that can be run."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import warm
from benchmarks.cases import AttentionCase, ModulationCase
from scam.ops import dispatch

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"
STEPS = re.findall(r"^step ([a-z-]+) ", SCRIPT.read_text(), re.MULTILINE)


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", SCRIPT, *args],
        capture_output=True,
        text=True,
        timeout=600,
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_every_step_runs(tmp_path: Path) -> None:
    done = run(str(tmp_path), "--dry-run")
    log = (tmp_path / "log.txt").read_text()
    assert done.returncode == 0, done.stdout + log[-4000:]
    summary = (tmp_path / "summary.txt").read_text()
    assert re.findall(r"^([a-z-]+) +\d+ s  status 0$", summary, re.MULTILINE) == STEPS
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) <= 8


def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    stopped = run(str(tmp_path), "--dry-run", "--seconds", "0")
    assert stopped.returncode == 0
    assert f"not run; continue with --from {STEPS[0]}" in stopped.stdout
    rest = run(str(tmp_path), "--dry-run", "--from", STEPS[-1])
    assert rest.returncode == 0
    summary = (tmp_path / "summary.txt").read_text()
    assert [line.split()[0] for line in summary.splitlines()] == ["build", STEPS[-1]]


def test_unknown_steps_are_named(tmp_path: Path) -> None:
    wrong = run(str(tmp_path), "--from", "fly")
    assert wrong.returncode == 2
    assert "--from fly: expected one of info build" in wrong.stderr


def test_all_files_with_gpu_tests_are_run() -> None:
    marked = [
        path.relative_to(ROOT)
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"^\s*(@|pytestmark.*)?pytest\.mark\.gpu", path.read_text(), re.MULTILINE)
    ]
    assert len(marked) >= 4
    assert [path for path in marked if str(path) not in SCRIPT.read_text()] == []


def test_processes_share_the_kernels_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    jit = pytest.importorskip("triton.runtime.jit")
    compiled: list[str] = []

    def note(kernel: Any, *_: Any, grid: Any, warmup: bool, **options: Any) -> None:
        assert warmup
        compiled.append(f"{kernel.fn.__name__} {options}")

    small = (AttentionCase(side=16, num_labels=3, width=32), ModulationCase(8, 16, num_labels=3))
    monkeypatch.setattr(warm, "CASES", small)
    monkeypatch.setattr(warm, "PRESET", "tiny")
    monkeypatch.setattr(dispatch, "_refusals", lambda name, problem: ())
    counts = []
    for processes in (1, 3):
        compiled.clear()
        for number in range(processes):
            with monkeypatch.context() as patch:
                patch.setattr(jit.JITFunction, "run", note)
                warm._share(number, processes, "cpu")
        counts.append(sorted(compiled))
    assert len(counts[0]) > 10
    assert counts[0] == counts[1]
    assert not torch.cuda.is_initialized()
