# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.evaluate`` on a model of two steps."""

import dataclasses
import json
import math
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from scam import evaluate, evaluation, train
from scam.commandline.flags import given
from scam.data import FolderPairs, PairDataset
from scam.errors import InputError
from scam.evaluation import METRICS, EvaluationOptions
from scam.evaluation.flags import EXAMPLES, evaluate_parser
from scam.models.checkpoint import load_checkpoint
from scam.synthesis.previews import reconstruction_psnr

HERE = ["--workers", "0"]  # what starting processes takes would be most of a test


@pytest.fixture
def run(trained: tuple[Path, Path]) -> Path:
    return trained[1]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, no weights cached on this machine, and no cache left behind."""

    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX, "a metric wants the network"
        connect(self, address)  # to a process that reads pictures

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "tiny_extractor.py").write_text(
        "import torch\n"
        "class Quarters(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.nn.functional.adaptive_avg_pool2d(x.float(), 2).flatten(1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "tiny_extractor:Quarters"


def report(run: Path, out: Path, *more: object) -> dict[str, Any]:
    evaluate.main([str(run), "--out", str(out), *HERE, *map(str, more)])
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    return found


def rows(found: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(row["metric"], row["what"], row["against"]): row for row in found["rows"]}


def test_every_metric_has_a_number_or_a_reason(
    run: Path, tmp_path: Path, extractor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torchmetrics")
    found = report(run, tmp_path / "out", "--extractor", extractor)
    by_metric: dict[str, list[dict[str, Any]]] = {name: [] for name in METRICS}
    for row in found["rows"]:
        by_metric[row["metric"]].append(row)
    for name, of_metric in by_metric.items():
        assert of_metric, name
        for row in of_metric:
            missing = ("lpips", "fid", "kid", "reid", "transfer")
            assert (row["value"] is None) == (name in missing), row
            if name == "transfer":
                assert row["note"] == "only of drawn mannequins is the true result known"
            elif row["value"] is None:
                assert "no weights" in row["note"] or "pip install" in row["note"]
            else:
                assert math.isfinite(row["value"])
                assert row["n"] > 0
    assert found["pictures"] == 3
    assert found["weights"] == "averaged (EMA 0.999)"
    assert found["size"] == [32, 32]
    assert found["absent"] == "background"
    assert {row["against"] for row in by_metric["fd"]} == {"train (3)", "val (3)"}
    shown = capsys.readouterr().out
    assert "3 val images of" in shown
    assert "weights averaged (EMA 0.999)" in shown
    assert "background: background; absent labels: background\n" in shown
    for name in METRICS:
        assert f"\n{name} " in shown
    assert (tmp_path / "out" / "sheet.png").is_file()


@pytest.mark.slow
def test_networks_of_others_through_the_command(
    run: Path, tmp_path: Path, inception_weights: Path
) -> None:
    """With random weights in their formats: FID, KID, LPIPS and the features of persons."""
    pytest.importorskip("lpips")
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    flags: list[object] = ["--inception-weights", inception_weights]
    for flag, make in (("lpips", "alexnet"), ("reid", "resnet50")):
        path = tmp_path / f"{make}.pth"
        torch.save(getattr(torchvision.models, make)(weights=None).state_dict(), path)
        flags += [f"--{flag}-weights", path]
    found = report(run, tmp_path / "out", "--metrics", "fid,kid,lpips,reid", *flags)
    values = {name: [r["value"] for r in found["rows"] if r["metric"] == name] for name in METRICS}
    assert [len(values[name]) for name in ("fid", "kid", "lpips", "reid")] == [7, 7, 1, 6]
    assert all(math.isfinite(value) for some in values.values() for value in some)
    again = report(run, tmp_path / "cached", "--metrics", "fid,kid", *flags)
    assert again["rows"] == [r for r in found["rows"] if r["metric"] in ("fid", "kid")]
    assert {r["against"] for r in found["rows"] if "to the host" in r["what"]} == {"hosts"}


def test_python_measures_what_the_command_does(run: Path, tmp_path: Path) -> None:
    found = report(run, tmp_path / "out", "--metrics", "maps,psnr,lpips", "--batch-size", 2)
    options = EvaluationOptions(run, ("maps", "psnr", "lpips"), batch_size=2, workers=0)
    rows = [row.as_dict() for row in evaluation.evaluate(options)]
    for row in rows:  # a command spells arguments as flags
        row["note"] = row["note"].replace(" lpips_weights", " --lpips-weights")
    assert rows == found["rows"]
    with pytest.raises(InputError, match="metrics='mse': expected some of psnr,ssim"):
        EvaluationOptions(run, ("mse",))
    fields = {field.name for field in dataclasses.fields(EvaluationOptions)}
    known = set(vars(evaluate_parser("scam").parse_args([str(run)])))
    assert fields | {"out", "overwrite", "html", "scale"} == known


def test_psnr_is_what_training_measures(run: Path, tmp_path: Path) -> None:
    found = rows(report(run, tmp_path / "out", "--metrics", "psnr"))
    checkpoint = load_checkpoint(run)
    data = json.loads((run / "config.json").read_text())["data"]
    held_out = PairDataset(FolderPairs(data["data"], split="val", holdout=3), (32, 32))
    wanted = reconstruction_psnr(checkpoint.model, held_out, 3)
    value = found["psnr", "reconstruction, pooled", "the pictures"]["value"]
    assert value == pytest.approx(wanted.pooled, abs=1e-4)
    value = found["psnr", "reconstruction, mean of pictures", "the pictures"]["value"]
    assert value == pytest.approx(wanted.per_image, abs=1e-4)
    labels = [what for _, what, _ in found if what.startswith("label ")]
    assert "label upper_body" in labels


def test_the_same_seed_gives_the_same_numbers(run: Path, tmp_path: Path, extractor: str) -> None:
    common = ["--metrics", "psnr,fd,locality,cycle", "--extractor", extractor]
    one = report(run, tmp_path / "one", *common, "--seed", 4)
    again = report(run, tmp_path / "again", *common, "--seed", 4)
    assert one == again
    other = report(run, tmp_path / "other", *common, "--seed", 3)
    assert one["rows"] != other["rows"]
    pairs = [(tmp_path / name / "pairs.json").read_text() for name in ("one", "again", "other")]
    assert pairs[0] == pairs[1] != pairs[2]
    stored = report(
        run, tmp_path / "stored", *common, "--seed", 3, "--pairs", tmp_path / "one" / "pairs.json"
    )
    assert (tmp_path / "stored" / "pairs.json").read_text() == pairs[0]
    assert [r for r in stored["rows"] if r["metric"] in ("psnr", "fd", "cycle")] == [
        r for r in one["rows"] if r["metric"] in ("psnr", "fd", "cycle")
    ]


def test_the_run_s_own_hold_out_is_measured(
    run: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """However its folder is spelt, and whatever pictures came since."""
    data = trained[0]
    spelt = data.parent / "." / data.name / ".." / data.name
    found = report(run, tmp_path / "same", "--data", spelt, "--metrics", "psnr")
    assert found["pictures"] == found["data"]["holdout"] == 3
    with pytest.raises(InputError, match=r"--holdout 5: the training of this model held out 3 "):
        report(run, tmp_path / "no", "--data", spelt, "--holdout", 5)
    for kind in ("images", "labels"):
        shutil.copy(data / kind / "p0.png", data / kind / "new.png")
    try:
        again = report(run, tmp_path / "more", "--metrics", "psnr")
    finally:
        for kind in ("images", "labels"):
            (data / kind / "new.png").unlink()
    assert [r for r in again["rows"] if r["value"] and "train" not in r["what"]] == [
        r for r in found["rows"] if "train" not in r["what"]
    ]
    assert not (tmp_path / "no").exists()


def test_an_interrupted_evaluation_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    copy = shutil.copytree(run, tmp_path / "run")
    monkeypatch.setattr(evaluate, "measure", stop)
    for out in ([], ["--out", str(tmp_path / "out")]):
        with pytest.raises(KeyboardInterrupt):
            evaluate.main([str(copy), "--metrics", "psnr", *HERE, *out])
    assert not (copy / "evaluation").exists()
    assert not (tmp_path / "out").exists()


def test_memory_is_the_same_whatever_ran_before(run: Path) -> None:
    options = EvaluationOptions(run, ("cost",), workers=0)
    first, second = (
        row.value or 0.0
        for _ in range(2)
        for row in evaluation.evaluate(options)
        if row.what == "peak memory of a transfer"
    )
    assert first > 0.1
    assert second == pytest.approx(first, rel=0.02)


def test_batches_do_not_matter(run: Path, tmp_path: Path) -> None:
    one, other = (
        report(run, tmp_path / str(size), "--metrics", "psnr,locality", "--batch-size", size)
        for size in (1, 3)
    )
    for a, b in zip(one["rows"], other["rows"], strict=True):
        # What is pasted back is rounded to levels of 255.
        assert a["value"] == pytest.approx(b["value"], rel=1e-3, abs=1e-3)


def test_a_test_split_comes_first(
    run: Path, make_pairs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the data has test pictures they are measured on, unless val is asked for."""
    data = make_pairs(tmp_path / "data" / "train", 6, (40, 32))
    for split, stems in (("test", ("p0", "p1", "p2")), ("val", ("p3", "p4"))):
        for kind in ("images", "labels"):
            (tmp_path / "data" / split / kind).mkdir(parents=True)
            for stem in stems:
                shutil.move(data / kind / f"{stem}.png", tmp_path / "data" / split / kind)
    shutil.move(data / "labels.txt", tmp_path / "data")
    for flags, count, split in (([], 3, "test"), (["--split", "val"], 2, "val")):
        evaluate.main([str(run), "--data", str(tmp_path / "data"), "--metrics", "psnr", *flags,
                       "--out", str(tmp_path / split)])  # fmt: skip
        found = json.loads((tmp_path / split / "report.json").read_text())
        assert (found["pictures"], found["split"]) == (count, split)
        assert f"{count} {split} images of" in capsys.readouterr().out


def test_last_weights_are_others(run: Path, tmp_path: Path) -> None:
    averaged = report(run, tmp_path / "ema", "--metrics", "psnr")
    last = report(run, tmp_path / "last", "--metrics", "psnr", "--last-weights")
    assert last["weights"] == "of the last step (no EMA)"
    assert averaged["rows"][0]["value"] != last["rows"][0]["value"]


def test_the_default_folder_is_never_overwritten(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    for _ in range(2):
        evaluate.main([str(copy), "--metrics", "psnr", *HERE])
    names = sorted(path.name for path in (copy / "evaluation").iterdir())
    assert names == ["step_0000002", "step_0000002-2"]
    (copy / "evaluation" / "step_0000002-3").mkdir()  # another evaluation has just begun
    evaluate.main([str(copy), "--metrics", "psnr", *HERE])
    assert os.listdir(copy / "evaluation" / "step_0000002-3") == []
    assert (copy / "evaluation" / "step_0000002-4" / "report.json").is_file()
    with pytest.raises(InputError, match=r"holds a report\.json already: give another folder"):
        evaluate.main([str(copy), "--out", str(copy / "evaluation" / "step_0000002"), *HERE])


def test_other_data(run: Path, make_pairs: Any, tmp_path: Path) -> None:
    """All pictures of a folder: then no training pictures are left, which rows say."""
    others = make_pairs(tmp_path / "others", 7, (40, 32))
    found = rows(
        report(run, tmp_path / "out", "--data", others, "--holdout", 7, "--metrics", "psnr")
    )
    assert found["psnr", "reconstruction, pooled", "the pictures"]["n"] == 7
    assert found["psnr", "flat colours, pooled", "the pictures"]["n"] == 7
    missing = found["psnr", "flat colours of train, pooled", ""]
    assert missing["value"] is None
    assert "nothing is left for 'train'" in missing["note"]
    small = report(run, tmp_path / "few", "--data", others, "--holdout", 7, "--metrics",
                   "psnr", "--max-pictures", 4)  # fmt: skip
    assert small["pictures"] == 4
    evaluate.main([str(run), "--data", "mannequins", "--max-pictures", "2", "--metrics", "maps",
                   "--out", str(tmp_path / "drawn")])  # fmt: skip
    drawn = json.loads((tmp_path / "drawn" / "report.json").read_text())
    assert drawn["data"] == {"data": "mannequins", "merge": None}
    assert drawn["pictures"] == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--metrics", "psnr,mse"], "--metrics mse: expected some of psnr,ssim"),
        (
            ["--data", "mannequins", "--holdout", "5"],
            "^--holdout 5: mannequins have no files",
        ),
        (
            ["--data", "mannequins", "--label-set", "lip20"],
            "^--label-set lip20: mannequins",
        ),
        (["--data", "mannequins", "--split", "test"], "^--split test: expected train or"),
        (["--batch-size", "0"], "--batch-size 0: expected at least 1"),
        (["--max-pictures", "1"], "--max-pictures 1: expected at least 2"),
        (["--seed", "-1"], "--seed -1: expected at least 0"),
        (["--data", "nowhere"], "^--data nowhere: "),
        (["--holdout", "0"], "--holdout 0: expected at least 1"),
        (
            ["--holdout", "1"],
            r"--holdout 1: the training of this model held out 3 images of \S+; give",
        ),
        (["--workers", "-1"], "--workers -1: expected at least 0"),
        (
            ["--background-labels", "tail"],
            "--background-labels: label 'tail': expected one of background",
        ),
        (["--pairs", "none.json"], r"--pairs none\.json: cannot read none\.json: No such file"),
        (["--lpips-weights", "none.pth"], r"--lpips-weights none\.pth: no such file"),
        (["--inception-weights", "none.pth"], r"--inception-weights none\.pth: no such file"),
        (["--dinov2-weights", "none.pth"], r"--dinov2-weights none\.pth: no such file"),
        (["--reid-weights", "none.pth"], r"--reid-weights none\.pth: no such file"),
        (["--extractor", "nomodule"], "--extractor nomodule: expected MODULE:FUNCTION"),
        (["--extractor", "a:b", "--dinov2-weights", "w"], "give one of the two"),
        (
            ["--merge", "body"],
            r"has 2 labels \(background, body\), this model has 11 .*--label-set",
        ),
    ],
)
def test_bad_arguments(
    flags: list[str], message: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        evaluate.main([str(run), "--out", "out", "--metrics", "lpips,fid,fd,reid", *HERE, *flags])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_step_folder_away_from_its_run(run: Path, trained: tuple[Path, Path], tmp_path: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    step = shutil.copytree(run / "checkpoints" / "step_0000002", tmp_path / "alone")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"run folder of .*alone is not here: give --data"):
        evaluate.main([str(step)])
    evaluate.main([str(step), "--data", str(trained[0]), "--metrics", " psnr, maps"])
    found = json.loads((tmp_path / "evaluation" / "alone" / "report.json").read_text())
    assert found["weights"] == "averaged (EMA)"


def test_as_a_command(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scam.evaluate"]
    failed = subprocess.run(
        [*command, str(run), "--metrics", "beauty"], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("python -m scam.evaluate: error: --metrics beauty")


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(["--help"])
    assert "examples:\n  python -m scam.evaluate demo" in capsys.readouterr().out
    commands = re.findall(r"python -m scam\.evaluate (.*)", EXAMPLES)
    assert commands.pop().startswith("--weights")
    for command in commands:
        args = vars(evaluate_parser("scam").parse_args(shlex.split(command)))
        EvaluationOptions(**given(args, EvaluationOptions))
    assert len(commands) == 3


def test_the_page_names_every_metric_and_no_unknown_flag(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "evaluate.md"
    if not page.is_file():
        pytest.skip("not a checkout")
    with pytest.raises(SystemExit):
        evaluate.main(["--help"])
    known = capsys.readouterr().out
    with pytest.raises(SystemExit):
        train.main(["--help"])
    known += capsys.readouterr().out
    for flag in set(re.findall(r"--[a-z][a-z-]+", page.read_text())):
        assert re.search(rf"{flag}\b", known), flag
    for name in METRICS:
        assert f"`{name}`" in page.read_text()
        assert f"\n  {name} " in known


def test_a_report_that_cannot_be_written_leaves_no_folder(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = shutil.copytree(run, tmp_path / "run")

    def refuse(*_: object, **__: object) -> None:
        raise InputError("cannot write report.json: No space left on device")

    monkeypatch.setattr(evaluate, "write_report", refuse)
    with pytest.raises(InputError, match="No space left"):
        evaluate.main([str(copied), "--metrics", "psnr", *HERE])
    assert not (copied / "evaluation").exists()


def test_a_page_of_numbers_and_pictures(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    report(run, out, "--metrics", "psnr", "--scale", 1, "--html")
    assert f"page: {out / 'index.html'}" in capsys.readouterr().out
    page = (out / "index.html").read_text()
    assert page.count("<img ") == 3 * 6
    for file in re.findall(r'<img src="\./([^"]*)"', page):
        with Image.open(out / file) as picture:
            assert picture.size == (32, 32)
    for text in ("<td>reconstruction, pooled</td>", "<td>psnr</td>", "background", "donor&#x27;s"):
        assert text in page
    with Image.open(out / "sheet.png") as sheet:
        assert 3 * 32 < sheet.height < 3 * 96  # not enlarged
    with pytest.raises(InputError, match="--scale 0: expected 1 to 16"):
        report(run, tmp_path / "more", "--scale", 0)
    for name in ("report.json", "pairs.json", "sheet.png"):
        (out / name).unlink()
    with pytest.raises(InputError, match=r"holds a index\.html already"):
        report(run, out, "--metrics", "psnr", "--html")


def test_training_pictures_when_asked_for(run: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="measured on training images"):
        found = report(run, tmp_path / "out", "--split", "train", "--metrics", "psnr")
    assert (found["split"], found["pictures"]) == ("train", 3)
    pairs = json.loads((tmp_path / "out" / "pairs.json").read_text())["donors"]
    held_out = json.loads((run / "checkpoints" / "step_0000002" / "split.json").read_text())
    assert {line[17:] for line in held_out["training"]} == set(pairs)


@pytest.mark.filterwarnings("ignore:.*measured on training images")
def test_one_training_picture_is_too_few(
    run: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data = tmp_path / "fewer"
    shutil.copytree(trained[0], data)
    split = json.loads((run / "checkpoints" / "step_0000002" / "split.json").read_text())
    for line in split["training"][1:]:
        (data / "images" / f"{line[17:]}.png").unlink()
        (data / "labels" / f"{line[17:]}.png").unlink()
    with pytest.raises(InputError, match="1 train image, expected 2 or more"):
        report(run, tmp_path / "out", "--data", data, "--split", "train")


def test_pictures_fit_as_in_training_unless_asked(run: Path, tmp_path: Path) -> None:
    config = run / "checkpoints" / "step_0000002" / "config.json"
    assert json.loads(config.read_text())["fit"] == "squash"
    found = report(run, tmp_path / "out", "--metrics", "psnr", "--fit", "crop")
    assert found["data"]["fit"] == "crop"
    assert report(run, tmp_path / "two", "--metrics", "psnr")["data"]["fit"] == "squash"
    assert load_checkpoint(run).frame.fit == "squash"
    assert load_checkpoint(run, fit="pad").frame.fit == "pad"
