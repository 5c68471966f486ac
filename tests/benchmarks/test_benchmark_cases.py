# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import cases, fuzz
from benchmarks.contest import Contender, Contest
from benchmarks.label_maps import PRESENT, label_map, patch_numbers, real_num_labels
from benchmarks.timing import Stopwatch
from scam.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


TABLES = [cases.ATTENTION, cases.MODULATION, cases.AFFINE, cases.NETWORKS]


@pytest.mark.parametrize("table", TABLES)
def test_every_case_has_a_name_of_its_own_and_a_suite(table: list) -> None:
    ids = [case.id for case in table]
    assert len(ids) == len(set(ids))
    assert {case.suite for case in table} <= set(cases.SUITES)


def test_suites_are_nested() -> None:
    sizes = [
        sum(cases.held(suite, case.suite) for case in cases.ATTENTION) for suite in cases.SUITES
    ]
    assert 0 < sizes[0] < sizes[1] < sizes[2] == len(cases.ATTENTION)


@pytest.mark.parametrize("kind", ["coherent", "noise", "one", "absent"])
def test_label_maps(kind: str) -> None:
    maps = label_map(kind, 32, 19, batch=2)
    assert maps.shape == (2, 32 * 32)
    assert maps.dtype == torch.uint8
    present = {"coherent": 19, "noise": 19, "one": 1, "absent": PRESENT}[kind]
    assert all(len(one.unique()) == present for one in maps)
    assert torch.equal(maps, label_map(kind, 32, 19, batch=2))


def test_coherent_maps_are_coherent() -> None:
    changes = {
        kind: (label_map(kind, 64, 19, batch=1).view(64, 64).diff(dim=1) != 0).float().mean()
        for kind in ("coherent", "noise")
    }
    assert changes["coherent"] < 0.2 < changes["noise"]


def test_equal_patches_have_equal_numbers() -> None:
    maps = torch.zeros(2, 6, 7, dtype=torch.uint8)
    maps[1, :, 3:] = 1
    numbers, count = patch_numbers(maps)
    assert numbers.shape == maps.shape
    assert sorted(numbers.unique().tolist()) == list(range(count))
    assert numbers[0, 2, 2] == numbers[0, 3, 4] == numbers[0, 2, 3]
    assert len({int(numbers[0, 0, 0]), int(numbers[0, 1, 0]), int(numbers[0, 2, 2])}) == 3
    assert len({int(n) for n in numbers[1, 2]} & {int(numbers[0, 2, 2])}) == 0


def test_real_maps_come_from_a_folder(tmp_path: Path) -> None:
    values = np.tile(np.array([[0, 3], [7, 3]], dtype=np.uint8), (20, 30))
    Image.fromarray(values).save(tmp_path / "a.png")
    maps = label_map("real", 16, 8, batch=2, folder=tmp_path)
    assert set(maps.unique().tolist()) <= {0, 3, 7}
    assert real_num_labels(tmp_path) == 8
    real = cases.real(cases.ATTENTION, tmp_path)
    assert [(case.labels, case.num_labels) for case in real] == [("real", 8)] * 2
    with pytest.raises(InputError, match=r"--label-maps .*: no \.png file"):
        label_map("real", 16, 8, batch=1, folder=tmp_path / "none")
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png: expected one 8-bit channel"):
        label_map("real", 16, 8, batch=2, folder=tmp_path)


def test_rounds_give_every_contender_its_turn() -> None:
    turns: list[str] = []
    calls = {name: [lambda name=name: turns.append(name)] for name in ("a", "b", "c")}
    watch = Stopwatch(calls, torch.device("cpu"), budget_s=0.0, fewest=4)
    assert watch.rounds == 4
    turns.clear()
    for _ in range(watch.rounds):
        watch.round()
    order = [name for name, before in zip(turns, ["", *turns], strict=False) if name != before]
    assert order == ["a", "b", "c"] * 4
    times = watch.times("b")
    assert times["b"].ratio == 1.0
    assert times["a"].rounds == 4
    assert times["c"].minimum <= times["c"].p20 <= times["c"].median <= times["c"].p80


def test_fuzz_finds_nothing_wrong_with_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    fuzz.main(["--backend", "reference", "--device", "cpu", "--problems", "20", "--seed", "3"])
    assert "20 of 20 problems, 0 failed, seed 3" in capsys.readouterr().out


def test_fuzz_prints_what_repeats_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise AssertionError("off by one")

    monkeypatch.setattr(fuzz, "_check_attention", wrong)
    given = ["--backend", "reference", "--op", "attention", "--device", "cpu"]
    with pytest.raises(SystemExit) as left:
        fuzz.main([*given, "--max-failures", "2"])
    assert left.value.code == 1
    out = capsys.readouterr().out
    assert "AssertionError: off by one" in out
    assert "--op attention --seed 0 --only 1\n" in out
    assert "2 failed" in out


def test_fuzz_names_an_unknown_backend() -> None:
    with pytest.raises(InputError, match="--backend tpu: expected one of"):
        fuzz.main(["--backend", "tpu"])


def test_one_benchmark_from_the_command_line(tmp_path: Path) -> None:
    pytest.importorskip("pytest_benchmark")
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "pytest", "benchmarks", "--benchmark-only"]
    # In a process of pytest-xdist pytest-benchmark would refuse.
    own = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    command += ["-k", "read-latents-fwd-16px", "--bench-device", "cpu", "--budget", "0.05"]
    done = subprocess.run(
        [*command, "--benchmark-json", str(result)],
        cwd=ROOT,
        env={**own, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    from benchmarks import results_file, tables

    run = results_file.read(result)
    (found,) = run.results
    assert found.area == "attention"
    assert found.ratio("ours") == 1.0
    rival = found.fastest("dense", "sparse")
    assert rival is not None
    assert "sorted varlen" in found.refused
    assert run.machine["copy_bytes_per_s"] > 0
    assert "**ours**" in tables.cases(run)


def test_a_peer_that_missed_the_oracle_is_told_of() -> None:
    benchmark = mock.Mock(extra_info={})
    benchmark.pedantic = lambda call, setup, rounds: setup()
    case = cases.AttentionCase(side=16)
    one = Contest(benchmark, torch.device("cpu"), {}, 0.01)
    with pytest.warns(UserWarning, match=f"{case.id}: not timed: peer, wrong: by 1.2"):
        one.run(
            "attention", case, {"ours": Contender("ours", [lambda: None])},
            refused={"peer": "wrong: by 1.2", "other": "needs a GPU"},
        )  # fmt: skip
