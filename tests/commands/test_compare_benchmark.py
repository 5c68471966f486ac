# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import compare
from scam.errors import InputError
from scam.files import read_json
from scam.training.run_folder import RunFolder

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
    RunFolder.create(tmp_path / "runs" / "base-0", {"training": {"steps": 2}})
    flags = fast("--data", photos, "--holdout", 2)
    out = tmp_path / "runs"
    compare.main(["small-data", "--out", str(out), "--only", "base", "--", *flags])
    assert (out / "base-0" / "measured" / "report.json").is_file()


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
