# SPDX-License-Identifier: Apache-2.0
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import scam
from scam import train
from scam.errors import InputError
from scam.models.scam import ScamConfig
from scam.synthesis.settings import asked_settings
from scam.training.trainer import Trainer

Fast = Callable[..., list[str]]


def test_a_folder_of_photographs(
    photos: Path, tmp_path: Path, fast: Fast, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    train.main(fast("--data", photos, "--out", out, "--amp", "--fused-sca"))
    said = capsys.readouterr().out
    assert "3 training and 1 held-out image, 11 labels, 32x32 (height x width)" in said
    assert f"sheet: {out}/samples/step_0000002.png" in said
    use = (
        f" --sheet SHEET\n      python -m scam.evaluate {out}\n      python -m scam.studio {out}\n"
    )
    assert said.endswith(use)
    assert (out / "samples" / "step_0000002.png").is_file()
    config = json.loads((out / "config.json").read_text())
    assert config["training"]["fused_sca"] is True
    assert config["training"]["perceptual"] in ("pyramid", "vgg19")
    assert config["label_names"][1] == "hair"


def test_merged_labels_and_dense_attention(photos: Path, tmp_path: Path, fast: Fast) -> None:
    out = tmp_path / "run"
    train.main(fast("--data", photos, "--merge", "body", "--no-fused-sca", "--out", out))
    config = json.loads((out / "config.json").read_text())
    assert config["label_names"] == ["background", "body"]
    assert config["training"]["fused_sca"] is False


def test_ablations_are_options_and_are_remembered(
    photos: Path, tmp_path: Path, fast: Fast
) -> None:
    out = tmp_path / "run"
    flags = ["--no-pyramid", "--no-self-attention", "--no-duplex", "--gan", "0"]
    counts = ["--latents-per-label", "3", "--background-latents", "5", "--token-dim", "32"]
    train.main(fast("--data", photos, "--out", out, *flags, *counts))
    config = json.loads((out / "config.json").read_text())["model"]
    assert not any(config[name] for name in ("pyramid", "self_attention", "duplex"))
    model = scam.load(out)
    assert model.config.num_tokens == 5 + 10 * 3
    assert not any("self_attention" in name for name, _ in model.named_parameters())


def test_options_for_few_pictures_are_remembered(photos: Path, tmp_path: Path, fast: Fast) -> None:
    out = tmp_path / "run"
    flags = ["--gan-from", 0, "--diffaugment", "color,cutout", "--lecam", 0.3, "--r1", 0.1]
    more = ["--gan-loss", "relativistic", "--no-gradient-norm", "--style-dropout", 0.1]
    perceptual = ["--perceptual", "pyramid", "--augment-perceptual", "translation"]
    train.main(fast("--data", photos, "--out", out, *flags, *more, *perceptual))
    stored = json.loads((out / "config.json").read_text())["training"]
    assert (stored["diffaugment"], stored["lecam"], stored["r1"]) == ("color,cutout", 0.3, 0.1)
    assert (stored["gan_loss"], stored["gradient_norm"]) == ("relativistic", False)
    assert (stored["style_dropout"], stored["augment_perceptual"]) == (0.1, "translation")
    with pytest.raises(InputError, match=r": --lecam is 0\.3 in this run, not 0\.5$"):
        train.main(["--resume", "--out", str(out), "--lecam", "0.5"])
    train.main(["--resume", "--out", str(out), "--steps", "3", "--lecam", "0.3"])
    last = [json.loads(line) for line in (out / "metrics.jsonl").open() if "lecam" in line][-1]
    assert last["step"] == 3
    assert last["lecam"] > 0


def test_the_discriminator_that_segments(photos: Path, tmp_path: Path, fast: Fast) -> None:
    out = tmp_path / "run"
    flags = ["--gan-from", 0, "--discriminator", "oasis", "--labelmix", 10]
    train.main(fast("--data", photos, "--out", out, *flags))
    with pytest.raises(InputError, match=": --discriminator is 'oasis' in this run, not 'scam'"):
        train.main(["--resume", "--out", str(out), "--discriminator", "scam"])
    train.main(["--resume", "--out", str(out), "--steps", "3"])
    losses = [json.loads(line) for line in (out / "metrics.jsonl").open() if "labelmix" in line]
    assert [entry["step"] for entry in losses] == [1, 2, 3]


def test_a_folder_of_semia_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"format": "semia"}')
    with pytest.raises(InputError, match=r"^--out .*: was made by scam\.semia, expected a train"):
        train.main(["--resume", "--out", str(tmp_path)])


def test_resume_goes_on_with_the_stored_settings(photos: Path, tmp_path: Path, fast: Fast) -> None:
    out = tmp_path / "run"
    train.main(fast("--data", photos, "--out", out, "--lr", "0.0005"))
    train.main(["--resume", "--out", str(out), "--steps", "3"])
    config = json.loads((out / "config.json").read_text())
    assert (config["training"]["steps"], config["training"]["lr"]) == (3, 0.0005)
    assert (out / "checkpoints" / "latest").read_text().strip() == "step_0000003"


def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every gradient becomes NaN."""
    original = Trainer.step

    def step(self: Trainer, batch: tuple[Tensor, Tensor], step: int) -> dict[str, Tensor]:
        return original(self, (batch[0] * torch.nan, batch[1]), step)

    monkeypatch.setattr(Trainer, "step", step)


@pytest.mark.parametrize("log_every", [1, 5])
def test_a_run_that_diverges_before_its_first_checkpoint_stays_and_begins_again(
    photos: Path, tmp_path: Path, fast: Fast, monkeypatch: pytest.MonkeyPatch, log_every: int
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        spoil(patch)
        steps = ("--steps", 9, "--log-every", log_every)
        remedy = f"there is no checkpoint yet: start again with --resume --out {out} and a lower"
        with pytest.raises(InputError, match=f"in a row were not finite; {remedy}"):
            train.main(fast("--data", photos, "--out", out, *steps))
    logged = [json.loads(line) for line in (out / "metrics.jsonl").open()]
    assert (logged[-1]["step"], logged[-1]["skipped"]) == (5, 5)
    again = ["--lr", "1e-5", "--steps", "2", "--log-every", "1"]
    train.main(["--resume", "--out", str(out), *again])
    logged = [json.loads(line) for line in (out / "metrics.jsonl").open()]
    assert [line["step"] for line in logged if "l1" in line] == [1, 2]
    assert sum("psnr_own_colours" in line for line in logged) == 1
    assert json.loads((out / "config.json").read_text())["training"]["lr"] == 1e-5


def test_a_run_that_diverges_goes_on_from_its_checkpoint(
    photos: Path, tmp_path: Path, fast: Fast, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    train.main(fast("--data", photos, "--out", out))
    with monkeypatch.context() as patch:
        spoil(patch)
        with pytest.raises(
            InputError, match=r"resume from step_0000002 with --resume --out .*run "
        ):
            train.main(["--resume", "--out", str(out), "--steps", "9"])
    lower = ["--lr", "1e-5", "--lr-discriminator", "1e-5", "--max-grad-norm", "0.5"]
    train.main(["--resume", "--out", str(out), "--steps", "3", *lower])
    stored = json.loads((out / "config.json").read_text())["training"]
    assert (stored["lr"], stored["lr_discriminator"], stored["max_grad_norm"]) == (1e-5, 1e-5, 0.5)


def test_a_run_killed_before_its_first_checkpoint_begins_again(
    photos: Path, tmp_path: Path, fast: Fast
) -> None:
    out, whole = tmp_path / "run", tmp_path / "whole"
    for run in (out, whole):
        train.main(fast("--data", photos, "--out", run))
    shutil.rmtree(out / "checkpoints")
    with pytest.raises(InputError, match="is not empty: resume its run with --resume"):
        train.main(fast("--data", photos, "--out", out))
    train.main(["--resume", "--out", str(out)])
    name = "checkpoints/step_0000002/model.safetensors"
    assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert (out / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_a_new_folder_each_time_unless_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Path, fast: Fast
) -> None:
    monkeypatch.chdir(tmp_path)
    for expected in ("photos", "photos-2"):
        train.main(fast("--data", photos, "--steps", 1))
        assert (tmp_path / "runs" / expected / "config.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "huge"], "^--preset huge: expected one of tiny, idesigner"),
        (["--model", "gan"], "^--model gan: expected one of scam"),
        (["--data", "nowhere"], "^--data nowhere: expected mannequins or a folder"),
        (["--merge", "nonsense"], "^--merge nonsense: is not a file, expected one or"),
        (["--ignore-label", "255"], "^--ignore-label 255: mannequins have no files"),
        (["--steps", "0"], "^--steps 0: expected at least 1"),
        (["--batch-size", "0"], "^--batch-size 0: expected at least 1"),
        (["--lr", "inf"], "^--lr inf: expected above 0"),
        (["--l1", "nan"], "^--l1 nan: expected a finite number, at least 0"),
        (["--l1", "0", "--gan", "0", "--perceptual", "none"], "nothing is left to learn from"),
        (["--device", "meta"], "^--device meta: expected cpu, cuda or cuda:N$"),
        (["--lr", "0"], r"^--lr 0\.0: expected above 0"),
        (["--ema", "1"], r"^--ema 1\.0: expected at least 0 and below 1"),
        (["--seed", "-1"], "^--seed -1: expected at least 0"),
        (["--width", "24"], "^--width 24: expected a multiple of 16"),
        (["--seed", "2147483648"], r"^--seed 2147483648: expected at least 0 and below 2\*\*31"),
        (["--width", "2147483648"], "^--width 2147483648: expected a multiple of 16, at least 16"),
        (["--width", "16384"], "^--width 16384, .*: need .* parameters or more, expected at most"),
        (["--levels", str(2**63 - 1)], r"^--levels \d+: expected at least 4 and at most 13"),
        (
            ["--size", "2147483648", "64"],
            r"^--size 2147483648 64: expected each at least 1 and at most",
        ),
        (["--batch-size", "2147483648"], "^--batch-size 2147483648: expected at least 1 and at"),
        (["--workers", str(10**20)], r"^--workers 10+: expected at least 0 and at most 4096"),
        (["--steps", str(10**20)], r"^--steps 10+: expected at least 1 and at most 2\*\*40"),
        (["--holdout", "-1"], "^--holdout -1: expected at least 1"),
        (["--size", "16", "16"], "^--levels 4: halves 16x16 .* down to one pixel"),
        (["--perceptual-weights", "no.pth"], r"^--perceptual-weights no\.pth: no such file"),
        (["--holdout", "0"], "^--holdout 0: expected at least 1"),
        (["--size", "8", "8"], "^--size 8 8: expected at least 16 pixels a side"),
        (["--fidelity", "exact"], "^--fidelity exact: expected default or released"),
        (["--perceptual", "vgg16"], "^--perceptual vgg16: expected vgg19"),
        (
            ["--perceptual", "lpips", "--perceptual-weights", "no.pth"],
            r"expected torchvision's vgg16",
        ),
        (["--device", "quantum"], "^--device quantum: expected cpu, cuda or cuda:N$"),
        (
            ["--lecam", "0.3", "--gan-from", "9", "--steps", "9"],
            r"^--lecam 0\.3: expected a discriminator that .*, not --gan-from 9 of --steps 9$",
        ),
        (["--diffaugment", "flip"], "^--diffaugment flip: expected some of color,translation"),
        (
            ["--labelmix", "10"],
            r"^--labelmix 10\.0: expected together with --discriminator oasis",
        ),
        (
            ["--no-gradient-norm", "--discriminator", "oasis"],
            "^--no-gradient-norm: expected together with --discriminator scam$",
        ),
        (
            ["--gan", "0", "--lecam", "0.3"],
            r"^--lecam 0\.3: expected a discriminator, not --gan 0",
        ),
        (["--levels", "9"], "^--levels 9: halves 96x64 .*, expected at most 6 levels$"),
        (
            ["--discriminator", "wgan"],
            "^--discriminator wgan: expected scam, oasis, patch or sean$",
        ),
        (["--resume"], "--resume: name the run to resume with --out"),
        (["--resume", "--out", "nowhere"], "there is no run in nowhere"),
    ],
)
def test_bad_arguments(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        train.main(arguments)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [], "something was left behind"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda d: (d / "images" / "p1.png").write_bytes(b"\x89PNG\r\n"),
            r"p1\.png: cannot be read",
        ),
        (
            lambda d: (d / "images" / "p1.png").write_bytes(
                (d / "images" / "p1.png").read_bytes()[:-400]
            ),
            r"p1\.png: cannot be read",
        ),
        (
            lambda d: Image.new("L", (7, 9)).save(d / "labels" / "p1.png"),
            r"p1\.png: is 9x7 but .*p1\.png is 48x40 .*, expected equal sizes",
        ),
        (
            lambda d: Image.new("L", (40, 48), 77).save(d / "labels" / "p1.png"),
            r"p1\.png: holds 77 .*, expected labels 0 \.\. 10",
        ),
        (
            lambda d: Image.new("RGB", (40, 48)).save(d / "labels" / "p1.png"),
            r"p1\.png: is an RGB image of greys; convert it to an index map first",
        ),
        (
            lambda d: [p.rename(p.with_name(f"x_{p.name}")) for p in (d / "images").iterdir()],
            "no image and label map have equal stems",
        ),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_bad_data(
    spoil: Callable[[Path], object],
    message: str,
    workers: int,
    photos: Path,
    tmp_path: Path,
    fast: Fast,
) -> None:
    spoil(photos)
    with pytest.raises(InputError, match=message) as caught:
        train.main(fast("--data", photos, "--out", tmp_path / "run", "--workers", workers))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_built_in_names_are_no_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``scam.data prepare idesigner SRC idesigner`` leaves a folder of that name."""
    (tmp_path / "idesigner").mkdir()
    (tmp_path / "mannequins").mkdir()
    monkeypatch.chdir(tmp_path)
    asked = {"data": "mannequins", "merge": "idesigner", "perceptual_weights": "idesigner"}
    found = asked_settings(asked, ScamConfig)
    assert found["data"] == {"data": "mannequins", "merge": "idesigner"}
    assert found["training"]["perceptual_weights"] == str(tmp_path / "idesigner")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "name", "status"),
    [(signal.SIGTERM, "SIGTERM", 143), (signal.SIGINT, "Ctrl-C", 130)],
)
def test_a_signal_to_all_processes_saves_once(
    photos: Path, tmp_path: Path, fast: Fast, number: int, name: str, status: int
) -> None:
    """As a cluster or a terminal sends it: the loader's workers get it too."""
    out = tmp_path / "run"
    flags = ("--steps", 9999, "--save-every", 9999, "--workers", 1)
    process = subprocess.Popen(
        [sys.executable, "-m", "scam.train", *fast("--data", photos, "--out", out, *flags)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 600
    metrics = out / "metrics.jsonl"
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.is_file() and '"l1"' in metrics.read_text():
            break
        time.sleep(0.05)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=600)
    assert f"stopped by {name} after step" in errors
    assert errors.count("python -m scam.train:") == 1
    assert process.returncode == status
    assert scam.load(out) is not None


def test_a_used_folder_is_refused_and_left_alone(
    trained: tuple[Path, Path], fast: Fast, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = trained
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match="is not empty: resume its run with --resume"):
        train.main(fast("--data", data, "--out", run))
    for flags, message in (
        (["--width", "32"], ": --width is 16 in this run, not 32$"),
        (["--merge", "body"], ": this run was started without --merge, not with 'body'$"),
        (["--holdout", "2"], ": --holdout is 3 in this run, not 2$"),
        (["--preset", "ade20k"], ": --preset is 'tiny' in this run, not 'ade20k'$"),
        (["--no-flip"], ": --flip is True in this run, not False$"),
        (
            ["--amp", "--gan", "9"],
            r": --amp is False in this run, not True; --gan is .* in this run, not 9\.0",
        ),
        ([], "^this run has already done 2 steps: give a larger --steps$"),
        (["--steps", "1"], "^--steps 1: this run has already done 2 steps, expected more$"),
    ):
        capsys.readouterr()
        with pytest.raises(InputError, match=message):
            train.main(["--resume", "--out", str(run), *flags])
        assert capsys.readouterr().out == ""
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_resuming_with_other_labels_than_the_run_began_with(
    photos: Path, tmp_path: Path, fast: Fast
) -> None:
    out = tmp_path / "run"
    train.main(fast("--data", photos, "--out", out))
    names = (photos / "labels.txt").read_text()
    (photos / "labels.txt").write_text(names.replace("hair", "wig"))
    with pytest.raises(InputError, match=r"the data's label_names are .*wig.* now"):
        train.main(["--resume", "--out", str(out), "--steps", "3"])


@pytest.mark.parametrize(("holdout", "split"), [(4, "train"), (9, "train")])
def test_a_hold_out_that_leaves_nothing(
    holdout: int, split: str, photos: Path, tmp_path: Path, fast: Fast
) -> None:
    with pytest.raises(InputError, match=f"nothing is left for '{split}': of 4 images"):
        train.main(fast("--data", photos, "--out", tmp_path / "run", "--holdout", holdout))


def test_a_bad_image_is_all_that_is_said(
    photos: Path, tmp_path: Path, fast: Fast, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "images" / "p1.png").write_bytes(b"none")
    with pytest.raises(InputError, match=r"images/p1\.png: cannot be read"):
        train.main(fast("--data", photos, "--out", tmp_path / "run"))
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "run").exists()


DAMAGE: dict[str, tuple[dict[str, object] | bytes, str]] = {
    "unknown": ({"training": {"colour": 1}}, "training options: 'colour' is not one of"),
    "merge": ({"data": {"merge": {}}}, "merge: holds no groups"),
    "labels": ({"data": {"labels": 5}}, "data: labels=5: expected text"),
    "holdout": ({"data": {"holdout": True}}, "data: holdout=True"),
    "accumulate": ({"training": {"accumulate": 1.5}}, r"accumulate=1\.5: expected an integer"),
    "huge": ({"training": {"steps": 10**20}}, "steps=1"),
    "width": ({"model": {"width": 16.0}}, r"width=16\.0: expected an integer"),
    "pyramid": ({"model": {"pyramid": "no"}}, "pyramid='no': expected true or false"),
    "two names": ({"label_names": ["a", "b"]}, "expected 11 different names"),
    "sections": ({"training": 3}, "training options: found 3"),
    "deep": (b"[" * 100_000, "nested too deeply"),
    "twice": (b'{"model": {}, "model": {}}', "'model' is there twice"),
    "nan": (b'{"training": {"lr": NaN}}', "NaN is not a finite number"),
    "1e999": (b'{"training": {"lr": 1e999}}', "1e999 is not a finite number"),
    "digits": (b'{"training": {"steps": ' + b"9" * 5000 + b"}}", "not JSON"),
    "list": (b"[1]", "expected a JSON object"),
    "bytes": (b"\xff\xfe\x00", "not JSON"),
    "empty": (b"", "not JSON"),
    "nothing": (b"{}", "no entry 'data'"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_config(
    trained: tuple[Path, Path], tmp_path: Path, damage: Any, words: str
) -> None:
    shutil.copytree(trained[1], tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    if isinstance(damage, dict):
        config = json.loads(path.read_text())
        for name, value in damage.items():
            both = isinstance(value, dict)
            config[name] = {**config[name], **value} if both else value
        damage = json.dumps(config).encode()
    path.write_bytes(damage)
    with pytest.raises(InputError, match=words) as caught:
        train.main(["--resume", "--out", str(tmp_path / "run"), "--steps", "3"])
    assert str(caught.value).count(str(path)) == 1
    assert "\n" not in str(caught.value)


def test_as_a_command(tmp_path: Path) -> None:
    """One line on stderr and status 2, no traceback; --help shows examples."""
    command = [sys.executable, "-m", "scam.train"]
    failed = subprocess.run(
        [*command, "--preset", "huge"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("python -m scam.train: error: --preset huge:")
    unknown = subprocess.run(
        [*command, "--colour"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert unknown.returncode == 2
    assert unknown.stderr.count("\n") == 1
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "examples:\n  python -m scam.train --amp --fused-sca" in shown.stdout
