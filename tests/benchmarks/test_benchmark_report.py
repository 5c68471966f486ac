# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report, tables
from benchmarks.cases import AttentionCase, NetworkCase
from benchmarks.results_file import read
from scam.errors import InputError

MACHINE = {
    "cpu": "some CPU", "threads": 2, "load_average": 0.1, "torch": "2.10", "device": "cpu",
    "commit": "0123456789abcdef", "dirty": False, "dtype": "float32",
    "copy_bytes_per_s": 1e10, "matmul_flops_per_s": 1e11,
}  # fmt: skip


def contender(kind: str, ratio: float) -> dict[str, Any]:
    times = dict.fromkeys(("median", "minimum", "p20", "p80"), ratio * 1e-3)
    return {"kind": kind, "ratio": ratio, "rounds": 3, "method": "x", "error": {}, **times}


def write(path: Path, *, sdpa: float = 30.0, sort: float = 5.0, device: str = "cpu") -> Path:
    attention = {
        "ours": contender("ours", 1.0),
        "SDPA + bool mask": contender("dense", sdpa),
        "sort + matmul per label": contender("sparse", sort),
        "copy": contender("copy", 0.5),
    }
    bytes_ = {"bytes": 2_000_000, "copy_bytes": 2_000_000, "flops": 10_000_000}
    memory = {
        "ours": {"kind": "ours", "ratio": 1.0, "peak_bytes": 1_000_000_000},
        "--no-fused-sca": {"kind": "dense", "ratio": 4.0, "at_least_bytes": 4_000_000_000},
    }
    machine = {**MACHINE, "device": device, "gpu": "some GPU" if device == "cuda" else None}
    entries = [
        ("attention", AttentionCase(), attention, {"FlexAttention": "no"}, bytes_),
        ("attention", AttentionCase(num_labels=150), attention, {}, bytes_),
        ("memory", NetworkCase("ade20k", "memory", 8), memory,
         {"--no-fused-sca": "does not fit in 20 GB"}, {"batch": 8}),
    ]  # fmt: skip
    benchmarks = [
        {
            "extra_info": {
                "area": area, "id": case.id, "case": asdict(case), "contenders": contenders,
                "refused": refused, "machine": machine, **more,
            }
        }
        for area, case, contenders, refused, more in entries
    ]  # fmt: skip
    path.write_text(json.dumps({"datetime": "2026-01-02T03:04:05", "benchmarks": benchmarks}))
    return path


def row(text: str, start: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_targets_are_met_missed_or_not_measured(tmp_path: Path) -> None:
    text = tables.targets(read(write(tmp_path / "run.json")))
    assert row(text, "op forward vs fastest dense, s=19") == [
        "op forward vs fastest dense, s=19", ">= 10x", "30x", "met", "SDPA + bool mask",
    ]  # fmt: skip
    assert row(text, "op forward vs fastest dense, s=150")[3] == "missed"
    any_kind = row(text, "op forward vs fastest of any kind, s=19")
    assert any_kind[2:] == ["5x", "missed", "sort + matmul per label"]
    assert row(text, "op backward over its roofline")[2] == "not measured"
    assert row(text, "op forward over its roofline")[1:] == [
        "<= 1.5x", "2x", "missed", "roofline: a copy",
    ]  # fmt: skip
    memory = row(text, "peak training memory")
    assert memory[2:] == ["4x", "met", "at least: dense does not fit in 20 GB"]


def test_the_headline_names_sizes_times_and_rivals(tmp_path: Path) -> None:
    text = tables.headline(read(write(tmp_path / "run.json")))
    assert row(text, "forward, ") == [
        "forward, 128 x 128 pixels of width 256, 8 latents for each of 150 labels", "1 ms",
        "30 ms, **30x** (SDPA + bool mask)", "5 ms, **5x** (sort + matmul per label)",
    ]  # fmt: skip


def test_gpus_have_targets_of_their_own(tmp_path: Path) -> None:
    text = tables.targets(read(write(tmp_path / "run.json", device="cuda")))
    assert row(text, "op forward, share of the copy")[1:4] == [">= 85 %", "50 %", "missed"]
    assert "roofline" not in text


def test_report_shows_cases_refusals_and_losses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report.main([str(write(tmp_path / "run.json", sort=0.5))])
    out = capsys.readouterr().out
    assert "some CPU, 2 threads, float32, torch 2.10, commit 0123456789, 2026-01-02" in out
    assert "- FlexAttention: no (1 cases)" in out
    lost = out.split("## Where a rival is faster")[1].split("##")[0]
    assert "| sort + matmul per label | 0.5 | 1 | 0.50x |" in lost
    assert "SDPA" not in lost
    assert "more than 4.00" in out


def test_compare_finds_what_fell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = write(tmp_path / "old.json"), write(tmp_path / "new.json", sdpa=27.0)
    given = [str(new), "--compare", str(old), "--threshold"]
    report.main([*given, "15%"])
    assert "no ratio fell by more than 15 %" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        report.main([*given, "5%"])
    assert left.value.code == 1
    out = capsys.readouterr().out
    assert "SDPA + bool mask takes 27x our time, 30x before" in out
    assert "sort" not in out


NAMES = ("targets", "headline")


def test_update_replaces_what_stands_between_the_markers(tmp_path: Path) -> None:
    run, page = write(tmp_path / "run.json"), tmp_path / "README.md"
    blocks = "\n".join(f"<!-- {name} begin -->\nstale\n<!-- {name} end -->" for name in NAMES)
    page.write_text(f"before\n{blocks}\nafter\n")
    report.main([str(run), "--update", str(page)])
    text = page.read_text()
    assert text.startswith("before\n<!-- targets begin -->\n| what | target |")
    assert (
        "\n<!-- targets end -->\n<!-- headline begin -->\n| `semantic_cross_attention` |" in text
    )
    assert text.endswith("\n<!-- headline end -->\nafter\n")
    assert "stale" not in text
    report.main([str(run), "--update", str(page)])
    assert page.read_text() == text
    page.write_text("no markers")
    with pytest.raises(InputError, match=r"README\.md: expected the markers"):
        report.main([str(run), "--update", str(page)])
    assert page.read_text() == "no markers"


def test_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report.main([str(write(tmp_path / "run.json")), "--targets", "--plots", str(tmp_path / "p")])
    names = {path.name for path in (tmp_path / "p").iterdir()}
    assert names == {"time_labels.svg", "roofline.svg"}


@pytest.mark.parametrize("content", ["", "{}", '{"datetime": "x", "benchmarks": []}'])
def test_files_of_something_else_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"run\.json: "):
        read(path)
    with pytest.raises(InputError, match="No such file"):
        read(tmp_path / "none.json")
