# SPDX-License-Identifier: Apache-2.0
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import compare
from scam import train
from scam.errors import InputError
from scam.storage.reading import read_json

Fast = Callable[..., list[str]]


def test_options_are_trained_measured_and_compared(
    photos: Path, tmp_path: Path, fast: Fast, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    flags = fast("--data", photos, "--holdout", 2, "--gan-from", 0)
    arguments = ["small-data", "--out", str(out), "--only", "base,lecam", "--", *flags]
    compare.main(arguments)
    table = capsys.readouterr().out.splitlines()[-4:]
    assert table[0].startswith("| variant | PSNR | SSIM | LPIPS | pyramid | detail | leak |")
    assert [line.split(" | ")[0] for line in table[2:]] == ["| base", "| lecam"]
    runs = read_json(out / compare.RESULTS)["runs"]
    for option, weight in (("base", 0), ("lecam", 0.3)):
        config = read_json(out / f"{option}-0" / "config.json")
        assert config["training"]["lecam"] == weight
        (found,) = runs[option]
        assert found["PSNR"] > 0
        assert found["s/step"] > 0
        assert found["seed"] == 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoints/*/*")}
    compare.main(arguments)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoints/*/*")} == before
    with pytest.raises(InputError, match=r"holds runs with the flags \['--size', .*: give them"):
        compare.main([*arguments, "--no-flip"])
    with pytest.raises(InputError, match="holds a comparison of small-data: expected another"):
        compare.main(["ablations", "--out", str(out), "--", *flags])


def test_a_run_stopped_before_its_first_checkpoint_begins_again(
    photos: Path, tmp_path: Path, fast: Fast
) -> None:
    flags = fast("--data", photos, "--holdout", 2)
    out = tmp_path / "runs"
    train.main([*flags, "--out", str(out / "base-0")])
    shutil.rmtree(out / "base-0" / "checkpoints")
    (out / "base-0" / "notes").write_text("nothing is thrown away")
    compare.main(["small-data", "--out", str(out), "--only", "base", "--", *flags])
    assert (out / "base-0" / "measured" / "report.json").is_file()
    assert (out / "base-0" / "notes").is_file()


def test_rows_measured_before_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "_train", lambda *_: None)
    numbers = iter(range(4))
    columns = [*compare.COMPARISONS["small-data"].columns, "s/step"]
    monkeypatch.setattr(compare, "_measured", lambda *_: dict.fromkeys(columns, next(numbers)))
    for only, seed in (("lecam", "1"), ("base", "0"), ("lecam", "0"), ("lecam", "1")):
        options = ["--only", only, "--seeds", seed]
        compare.main(["small-data", "--out", str(tmp_path), *options])
    runs = read_json(tmp_path / compare.RESULTS)["runs"]
    found = {name: [(row["seed"], row["PSNR"]) for row in rows] for name, rows in runs.items()}
    assert found == {"lecam": [(0, 2), (1, 3)], "base": [(0, 1)]}
    table = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split(" | ")[:2] for line in table] == [["| base", "1"], ["| lecam", "2.5 ± 0.5"]]


def test_ablations_are_the_models_that_their_names_say(
    photos: Path, tmp_path: Path, fast: Fast, capsys: pytest.CaptureFixture[str]
) -> None:
    out, flags = tmp_path / "runs", fast("--data", photos, "--holdout", 2)
    only = "simplex,k8_background16"
    compare.main(["ablations", "--out", str(out), "--only", only, "--seeds", "1", "--", *flags])
    assert (
        "| variant | PSNR | SSIM | LPIPS | pyramid | detail | R-FID |" in capsys.readouterr().out
    )
    simplex, mixed = (read_json(out / f"{name}-1" / "config.json") for name in only.split(","))
    assert simplex["model"]["duplex"] is False
    assert mixed["model"]["background_latents"] == 16
    for (row,) in read_json(out / compare.RESULTS)["runs"].values():
        assert row["ms/transfer"] > 0


def test_an_option_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--only magic: expected some of base,no_gan,"):
        compare.main(["small-data", "--out", str(tmp_path), "--only", "magic"])
