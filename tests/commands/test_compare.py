# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.compare`` on models of two steps."""

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scam import compare, train
from scam.checkpoints.step_folders import newest_step_folder
from scam.comparison import engine, training
from scam.comparison.flags import EXAMPLES, compare_parser
from scam.comparison.options import MeasuringOptions
from scam.comparison.runs import sections
from scam.comparison.variants import choose
from scam.errors import InputError
from scam.evaluation.options import METRICS
from scam.storage.reading import read_json

Fast = Callable[..., list[str]]
QUICK = ["--metrics", "psnr,locality,cost", "--perceptual", "pyramid"]


@pytest.fixture
def given(photos: Path, tmp_path: Path, fast: Fast) -> list[str]:
    """Arguments of a comparison into tmp_path/runs; its metrics need no weights."""
    out = str(tmp_path / "runs")
    return ["--out", out, *QUICK, *fast("--data", photos, "--holdout", 2, "--levels", 4)]


def rows(out: Path) -> dict[str, Any]:
    return {row["run"]: row for row in read_json(out / "table.json")["rows"]}


def written(out: Path) -> dict[Path, int]:
    """When the files that training and measuring leave were written."""
    found = [*out.glob("*/checkpoints/*/*"), *out.glob("*/measured.json")]
    return {path: path.stat().st_mtime_ns for path in found}


def test_two_kinds_of_model_in_one_table_and_sheet(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    compare.main(["--models", "scam,spade:paper", *given])
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:4] == ["variant", "setting", "parameters", "PSNR \N{UPWARDS ARROW}"]
    assert [line[:2] for line in lines[2:4]] == [["scam", "default"], ["spade-paper", "paper"]]
    assert (out / "table.md").read_text().startswith(" | ".join(["| variant", "setting"]))
    with (out / "table.csv").open() as file:
        assert [line[0] for line in csv.reader(file)] == ["variant", "scam", "spade-paper"]
    found = rows(out)
    for row in found.values():
        assert row["failed"] is None
        for title in ("PSNR \N{UPWARDS ARROW}", *(
            f"{x} \N{DOWNWARDS ARROW}" for x in ("s/step", "peak MB", "ms/transfer")
        )):  # fmt: skip
            assert row[title] > 0
    assert found["spade-paper"]["leak \N{DOWNWARDS ARROW}"] == "cannot"
    spade = read_json(out / "spade-paper" / "config.json")
    assert spade["model"]["fidelity"] == "paper"
    assert "latents_per_label" not in spade["model"]
    assert read_json(out / "scam" / "config.json")["model"]["latents_per_label"] == 2
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 6 * 192  # input, labels, two of each model
    # A finished comparison is printed again, not made again; its runs are ordinary ones.
    before = written(out)
    compare.main(["--models", "spade:paper,scam", *given, "--html"])
    assert written(out) == before
    page = (out / "index.html").read_text()
    assert "<td>spade-paper</td>" in page
    pictures = re.findall(r'<img src="\./([^"]*)"', page)
    assert len(pictures) % 6 == 0
    assert all((out / file).is_file() for file in pictures)
    with pytest.raises(InputError, match=r"--steps 1: expected|already done 2"):
        train.main(["--resume", "--out", str(out / "scam"), "--steps", "1"])
    with pytest.raises(InputError, match=r"scam: was trained with flip True, not False; .* --out"):
        compare.main(["--models", "scam", *given, "--no-flip"])
    assert written(out) == before


def test_other_numbers_need_no_training_and_other_pictures_another_comparison(
    given: list[str], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    compare.main(["--models", "scam", *given])
    before = written(out)
    compare.main(["--models", "scam", *given, "--metrics", "ssim,psnr"])
    changed = {path.name for path, when in written(out).items() if before[path] != when}
    assert changed == {"measured.json"}
    assert "SSIM \N{UPWARDS ARROW}" in rows(out)["scam"]
    for name in ("images", "labels"):
        os.link(photos / name / "p0.png", photos / name / "later.png")
    with pytest.raises(InputError, match=r"scam: was trained on other images than .* holds now"):
        compare.main(["--models", "scam,spade", *given])


@pytest.mark.exhaustive
def test_a_comparison_that_was_stopped_goes_on(
    given: list[str], tmp_path: Path, fast: Fast
) -> None:
    out = tmp_path / "runs"
    more = ["--models", "scam", "--steps", "400", "--save-every", "1", "--gan-from", "0"]
    command = [sys.executable, "-m", "scam.compare", *given, *more]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    latest = out / "scam" / "checkpoints" / "latest"
    until = time.monotonic() + 120
    while not latest.exists() and child.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 143, said
    stopped = newest_step_folder(out / "scam" / "checkpoints")
    assert stopped is not None
    assert "stopped by SIGTERM after step" in (out / "scam.log").read_text()
    # Let it end soon: what counts is that it goes on.
    done = int(stopped.name.removeprefix("step_"))
    assert 0 < done < 400
    log = (out / "scam.log").stat().st_size
    config = out / "scam" / "config.json"
    config.write_text(config.read_text().replace('"steps": 400', f'"steps": {done + 2}'))
    compare.main([*given, *more, "--steps", str(done + 2)])
    assert rows(out)["scam"]["failed"] is None
    assert f"step {done + 2}/{done + 2}" in (out / "scam.log").read_text()[log:]


@pytest.mark.exhaustive
def test_a_run_that_fails_is_a_row_and_the_others_go_on(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    (out / "scam").mkdir(parents=True)
    (out / "scam" / "notes").write_text("of somebody")
    with pytest.raises(SystemExit) as end:
        compare.main(["--models", "scam,spade", *given])
    assert end.value.code == 1
    found = rows(out)
    assert "is not empty" in found["scam"]["failed"]
    assert found["spade"]["failed"] is None
    assert "\n- scam failed: " in capsys.readouterr().out
    # What was in the way is gone: it is trained, and the other one left alone.
    before = written(out)
    (out / "scam" / "notes").unlink()
    compare.main(["--models", "scam,spade", *given])
    assert before.items() <= written(out).items()
    assert rows(out)["scam"]["failed"] is None


def test_a_run_that_fails_before_its_first_step_leaves_no_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the next comparison with other settings would be refused as one of other runs."""
    out = tmp_path / "run"

    def too_large(_: object) -> None:
        raise InputError("no room")

    settings = {
        "data": {"data": str(photos)},
        "model": {"size": [32, 32], "width": 16},
        "training": {"perceptual": "pyramid", "workers": 0},
    }
    job = {"settings": settings, "out": str(out), "resume": False, "device": "cpu"}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(job)))
    monkeypatch.setattr(training, "_stop_with_parent", lambda: None)
    monkeypatch.setattr(training, "expect_room", too_large)
    with pytest.raises(InputError, match="no room"):
        training.main()
    assert not out.exists()


def test_variants_of_a_list_from_several_seeds(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their settings; what training makes of these is tested elsewhere."""
    trained = []
    monkeypatch.setattr(engine, "train", lambda run, *_: trained.append(run))
    monkeypatch.setattr(engine.Run, "finished", property(lambda run: run.path))
    seen = []

    def measured(run: engine.Run, *_: object) -> dict[str, Any]:
        seen.append(run)
        value = 20.0 + run.options.seed
        row = {"metric": "psnr", "what": "reconstruction, pooled", "value": value}
        return {"rows": [{**row, "against": "the pictures", "note": ""}]}

    monkeypatch.setattr(engine, "measured", measured)
    monkeypatch.setattr(compare, "write_sheet", lambda *_, **__: "none")
    out = tmp_path / "runs"
    compare.main(
        [
            "--variants",
            "ablations",
            "--only",
            "simplex,k8_background16",
            "--seeds",
            "1",
            "2",
            *given,
        ]
    )
    assert not trained
    assert [run.name for run in seen] == [
        "simplex-1", "k8_background16-1", "simplex-2", "k8_background16-2",
    ]  # fmt: skip
    assert seen[0].model.as_dict()["duplex"] is False
    assert seen[1].model.as_dict()["background_latents"] == 16
    assert seen[0].model.as_dict()["latents_per_label"] == 2
    assert "| simplex | default | " in (out / "table.md").read_text()
    assert " | 21.5 ± 0.5 | " in (out / "table.md").read_text()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--models", "scam,magic"], "--models magic: expected some of scam,"),
        (["--models", "scam,scam"], "--models: scam is there twice"),
        (["--models", "spade:default"], "spade-default: fidelity='default': expected matched"),
        (["--variants", "magic"], "--variants magic: expected ablations or small-data"),
        (["--variants", "ablations", "--only", "magic"], "--only magic: expected some of full,"),
        (
            ["--variants", "ablations", "--models", "spade"],
            "no_pyramid: a model of kind spade",
        ),
        (["--only", "full"], "--only: expected together with --variants"),
        (["--models", "spade", "--heads", "2"], "--heads 2: expected a setting of spade"),
        (["--models", "scam", "--steps", "0"], "scam: --steps 0: expected at least 1"),
        (["--metrics", "magic"], "--metrics magic: expected some of psnr,"),
        (["--lpips-weights", "nowhere"], "--lpips-weights nowhere: expected a file"),
        (["--seed", "1", "--seeds", "1", "2"], "--seed, --seeds: give one of the two"),
    ],
)
def test_unusable_flags_are_told_before_anything_is_trained(
    tmp_path: Path, flags: list[str], expected: str
) -> None:
    out = tmp_path / "runs"
    with pytest.raises(InputError) as error:
        compare.main(["--out", str(out), *flags])
    assert str(error.value).startswith(expected)
    assert not out.exists()


def test_a_flag_that_nobody_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        compare.main(["--out", str(tmp_path / "runs"), "--magic", "3"])
    assert "unrecognized arguments: --magic" in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "table.md").write_text("mine")
    with pytest.raises(InputError, match=r"^--out .* is not empty and holds no comparison"):
        compare.main(["--out", str(tmp_path), "--models", "scam", "--steps", "1"])
    assert (tmp_path / "table.md").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} <= {"table.md", ".lock"}


@pytest.mark.parametrize(("asked", "weight"), [({}, 1.0), ({"gan": 0.3}, 0.3)])
def test_rows_of_a_list_have_a_discriminator(asked: dict[str, float], weight: float) -> None:
    base, without = choose(None, "small-data", ["base", "no_gan"])
    assert sections(asked, base)["training"]["gan"] == weight
    assert sections(asked, without)["training"]["gan"] == 0
    (model,) = choose(["scam"], None, None)
    assert sections(asked, model)["training"] == asked


def test_the_examples_are_what_they_say(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "compare.md"
    if not page.is_file():
        pytest.skip("not a checkout")
    words = (EXAMPLES + page.read_text()).replace("\\\n", " ")
    commands = re.findall(r"^ +(?:python -m scam\.|scam )compare (.*)", words, re.MULTILINE)
    assert len(commands) > len(EXAMPLES.splitlines()) // 2
    for command in commands:
        args = compare_parser("compare").parse_args(shlex.split(command))
        assert choose(args.models, args.variants, args.only), command
    help = compare_parser("compare").format_help()
    for flag in set(re.findall(r"--[a-z][a-z-]+", words)):
        assert re.search(rf"{flag}\b", help), flag
    left_out = METRICS.keys() - {*MeasuringOptions().metrics}
    (told,) = re.findall(r"default: all but ([\w, ]+)\)", " ".join(help.split()))
    assert {*told.split(", ")} == left_out
