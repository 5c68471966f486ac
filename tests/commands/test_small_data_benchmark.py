# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import small_data
from scam.errors import InputError
from scam.training.run_folder import RunFolder

Fast = Callable[..., list[str]]


def test_options_are_trained_measured_and_compared(
    photos: Path, tmp_path: Path, fast: Fast, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    flags = fast("--data", photos, "--holdout", 2, "--gan-from", 0)
    arguments = ["--out", str(out), "--only", "base,lecam", "--", *flags]
    small_data.main(arguments)
    table = capsys.readouterr().out.splitlines()[-4:]
    assert table[0].startswith("| option | PSNR | SSIM | LPIPS | pyramid | detail | leak |")
    assert [line.split(" | ")[0] for line in table[2:]] == ["| base", "| lecam"]
    runs = json.loads((out / "results.json").read_text())["runs"]
    for option, weight in (("base", 0), ("lecam", 0.3)):
        config = json.loads((out / f"{option}-0" / "config.json").read_text())
        assert config["training"]["lecam"] == weight
        (found,) = runs[option]
        assert found["PSNR"] > 0
        assert found["s/step"] > 0
        assert found["seed"] == 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoints/*/*")}
    small_data.main(arguments)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoints/*/*")} == before
    with pytest.raises(InputError, match=r"holds runs with the flags \['--size', .*: give them"):
        small_data.main([*arguments, "--no-flip"])


def test_a_run_stopped_before_its_first_checkpoint_begins_again(
    photos: Path, tmp_path: Path, fast: Fast
) -> None:
    RunFolder.create(tmp_path / "runs" / "base-0", {"training": {"steps": 2}})
    flags = fast("--data", photos, "--holdout", 2)
    small_data.main(["--out", str(tmp_path / "runs"), "--only", "base", "--", *flags])
    assert (tmp_path / "runs" / "base-0" / "measured" / "report.json").is_file()


def test_an_option_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--only magic: expected some of base,no_gan,"):
        small_data.main(["--out", str(tmp_path), "--only", "magic"])
