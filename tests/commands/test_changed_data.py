# SPDX-License-Identifier: Apache-2.0
"""Runs whose pictures, merges and weights came, went, moved or were renamed since."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import scam
from scam import Scam, evaluate, train
from scam.checkpoints.step_folders import save
from scam.checkpoints.weights import MANIFEST
from scam.commandline.flags import given
from scam.data.split import SPLIT, write_split
from scam.errors import InputError
from scam.evaluation.flags import evaluate_parser
from scam.evaluation.options import EvaluationOptions
from scam.evaluation.setup import open_setup
from scam.models.checkpoint import describe
from scam.storage.reading import file_digest
from scam.synthesis.facts import training_facts
from scam.synthesis.job import Job
from scam.synthesis.resumed import find_weights
from scam.training.run_folder import RunFolder

Fast = Callable[..., list[str]]
SMALL = ("--gan", 0, "--perceptual", "none", "--width", 16, "--latents-per-label", 1)
KINDS = ("images", "labels")


def move(data: Path, name: str, to: Path, renamed: str | None = None) -> None:
    """Both files of a picture; ``to`` may be ``data``."""
    for kind in KINDS:
        (to / kind).mkdir(parents=True, exist_ok=True)
        shutil.move(data / kind / f"{name}.png", to / kind / f"{renamed or name}.png")


def names(run: Path, side: str = "held_out") -> set[str]:
    step = run / "checkpoints" / (run / "checkpoints" / "latest").read_text().strip()
    return {line[17:] for line in json.loads((step / SPLIT).read_text())[side]}


def without_steps(job: Job, *, resume: bool, heading: str) -> Path:
    """As the training loop, but the checkpoint of the last step has new networks."""
    print(heading)
    job.folder.store()
    step = job.options.steps
    facts = training_facts(job, step)
    about = {**describe(job.config, job.train.source), "trained": facts}
    beside = None if job.split is None else partial(write_split, split=job.split)
    tensors = Scam(job.config).state_dict()
    return save(job.folder.checkpoints, step, tensors, about, {}, beside)


@pytest.fixture
def no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here happens before the first step and in the checkpoint."""
    monkeypatch.setattr("scam.synthesis.run.run_job", without_steps)


def resume(run: Path, steps: int, *more: object) -> None:
    train.main(["--resume", "--out", str(run), "--steps", str(steps), *map(str, more)])


def measured(run: Path, out: Path) -> set[str]:
    evaluate.main([str(run), "--metrics", "psnr", "--workers", "0", "--out", str(out)])
    return set(json.loads((out / "pairs.json").read_text())["donors"])


def to_measure(run: Path, *more: object) -> set[str]:
    """What ``scam.evaluate`` would measure."""
    args = evaluate_parser("scam").parse_args([str(run), "--metrics", "psnr", *map(str, more)])
    return set(open_setup(EvaluationOptions(**given(vars(args), EvaluationOptions))).stems)


def forget_names(run: Path) -> None:
    """As versions before split.json left a run."""
    for step in (run / "checkpoints").glob("step_*"):
        for name in (SPLIT, MANIFEST):
            (step / name).unlink(missing_ok=True)
        about = json.loads((step / "config.json").read_text())
        about["trained"].pop("split", None)
        (step / "config.json").write_text(json.dumps(about))


@pytest.fixture(scope="module")
def begun(
    tmp_path_factory: pytest.TempPathFactory, make_pairs: Any, fast: Fast
) -> tuple[Path, Path]:
    """A folder of 12 pictures, and a run of two steps on the first ten of them."""
    base = tmp_path_factory.mktemp("begun")
    data = make_pairs(base / "photos", 12)
    for name in ("p10", "p11"):
        move(data, name, base / "new")
    train.main(fast("--data", data, "--out", base / "run", *SMALL))
    return data, base


@pytest.fixture
def data(begun: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the pictures, under another path than the run has."""
    shutil.copytree(begun[1] / "new", tmp_path / "new")
    return shutil.copytree(begun[0], tmp_path / "photos")


@pytest.fixture
def run(begun: tuple[Path, Path], data: Path, tmp_path: Path) -> Path:
    """A copy of the run, which takes the copied pictures for its own."""
    out = shutil.copytree(begun[1] / "run", tmp_path / "run")
    config = json.loads((out / "config.json").read_text())
    config["data"]["data"] = str(data)
    (out / "config.json").write_text(json.dumps(config))
    return out


def test_new_pictures_join_the_training_and_who_was_held_out_stays_so(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = names(run)
    assert len(held) == 2
    for name in ("p10", "p11"):
        move(tmp_path / "new", name, data)
    for kind in KINDS:  # neither trained on nor measured twice
        shutil.copy(data / kind / f"{min(held)}.png", data / kind / "copy.png")
    assert measured(run, tmp_path / "before") == held
    resume(run, 3)
    said = capsys.readouterr().out
    assert "10 training and 2 held-out images" in said
    assert "since the checkpoint: 2 training images added (p10, p11)\n" in said
    assert names(run) == held
    assert names(run, "training") == {f"p{i}" for i in range(12)} - held
    assert measured(run, tmp_path / "after") == held
    resume(run, 4)
    assert "since the checkpoint" not in capsys.readouterr().out


def test_unchanged_pictures_resume_to_the_bit(
    run: Path, data: Path, tmp_path: Path, fast: Fast
) -> None:
    whole = tmp_path / "whole"
    train.main(fast("--data", data, "--out", whole, *SMALL, "--steps", 3))
    resume(run, 3, "--data", data.rename(tmp_path / "elsewhere"))
    name = "checkpoints/step_0000003"
    for file in ("model.safetensors", SPLIT):
        assert (whole / name / file).read_bytes() == (run / name / file).read_bytes()


@pytest.mark.usefixtures("no_steps")
@pytest.mark.parametrize("renamed", ["0", "zebra ü"])
def test_renamed_pictures_stay_on_their_side(
    run: Path, data: Path, tmp_path: Path, renamed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    held, trained = sorted(names(run)), sorted(names(run, "training"))
    move(data, trained[0], data, renamed)
    assert to_measure(run) == {*held}
    move(data, held[0], data, f"{renamed} too")
    wanted = {f"{renamed} too", held[1]}
    assert to_measure(run) == wanted
    resume(run, 3)
    assert "1 training image renamed" in capsys.readouterr().out
    assert names(run) == wanted


@pytest.mark.usefixtures("no_steps")
def test_names_that_were_exchanged(run: Path, data: Path, tmp_path: Path) -> None:
    """As after counting the files anew: what was held out has another name."""
    held, trained = sorted(names(run))[0], sorted(names(run, "training"))[0]
    for name, other in ((held, "between"), (trained, held), ("between", trained)):
        move(data, name, data, other)
    wanted = names(run) - {held} | {trained}
    assert to_measure(run) == wanted
    resume(run, 3)
    assert names(run) == wanted


@pytest.mark.usefixtures("no_steps")
def test_pictures_that_went(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (held, kept), trained = sorted(names(run)), sorted(names(run, "training"))[0]
    for name in (held, trained):
        move(data, name, tmp_path / "away")
    with pytest.raises(InputError, match=r"photos: 1 val image, .*or train with holdout 2"):
        to_measure(run)
    resume(run, 3)
    said = capsys.readouterr().out
    assert f"1 training image gone ({trained}); 1 held-out image gone ({held})" in said
    assert (names(run), names(run, "held_out_gone")) == ({kept}, {held})
    for name in (held, trained):
        move(tmp_path / "away", name, data)
    resume(run, 4)
    assert names(run) == {held, kept}
    for name in (held, kept):
        move(data, name, tmp_path / "away")
    with pytest.raises(InputError, match="has none of this run's 2 held-out images any"):
        resume(run, 5)


@pytest.mark.usefixtures("no_steps")
def test_edited_pictures_are_known_by_name(
    run: Path, data: Path, tmp_path: Path, make_pairs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    held = names(run)
    make_pairs(tmp_path / "edited", 10, (40, 32))
    for i in range(10):
        move(tmp_path / "edited", f"p{i}", data)
    assert to_measure(run) == held
    resume(run, 3)
    assert "8 training images edited" in capsys.readouterr().out
    assert names(run) == held
    assert len(names(run, "training_gone")) == 8


@pytest.fixture
def sorted_run(data: Path, tmp_path: Path, fast: Fast, no_steps: None) -> tuple[Path, Path]:
    """Pictures in train/ and val/, and a run on them."""
    root = tmp_path / "sorted"
    for i in range(10):
        move(data, f"p{i}", root / ("val" if i < 3 else "train"))
    shutil.copy(data / "labels.txt", root)
    train.main(fast("--data", root, "--out", tmp_path / "sorted run", *SMALL))
    return root, tmp_path / "sorted run"


@pytest.mark.usefixtures("no_steps")
def test_a_val_folder_with_trained_pictures(
    sorted_run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = sorted_run
    move(root / "train", "p5", root / "val")
    with pytest.warns(UserWarning, match=r"left out 1 image trained on \(p5\)"):
        assert to_measure(run) == {"p0", "p1", "p2"}
    with pytest.raises(InputError, match="val holds images that this run was trained on: p5;"):
        resume(run, 3)
    move(root / "val", "p5", root / "train")
    move(root / "val", "p0", root / "train")
    move(tmp_path / "new", "p10", root / "val", "p7")  # names of two folders may clash
    resume(run, 3)
    assert "1 training image moved from the other side (p0)" in capsys.readouterr().out
    assert names(run) == {"p1", "p2", "p7"}
    move(root / "train", "p0", root / "val", "disguised")
    with pytest.warns(UserWarning, match=r"trained on \(disguised\)"):
        assert to_measure(run) == {"p1", "p2", "p7"}


@pytest.mark.usefixtures("no_steps")
def test_a_test_folder_with_trained_pictures(
    sorted_run: tuple[Path, Path], tmp_path: Path
) -> None:
    root, run = sorted_run
    for name in ("p5", "p6"):
        move(root / "train", name, root / "test", f"t{name}")
    move(tmp_path / "new", "p10", root / "test", "p7")
    move(tmp_path / "new", "p11", root / "test")
    with pytest.warns(UserWarning, match=r"left out 2 images trained on \(tp5, tp6\)"):
        assert to_measure(run) == {"p7", "p11"}


@pytest.mark.usefixtures("no_steps")
def test_moved_pictures(run: Path, data: Path, tmp_path: Path) -> None:
    held = names(run)
    elsewhere = data.rename(tmp_path / "elsewhere")
    gone = rf"were in {data}, where no folder is now: give (its new place as )?(--)?data"
    with pytest.raises(InputError, match=f"^--resume: the images of this run {gone}"):
        resume(run, 3)
    with pytest.raises(InputError, match=f"its images {gone}"):
        to_measure(run)
    assert to_measure(run, "--data", elsewhere) == held
    (tmp_path / "link").symlink_to(elsewhere)
    resume(run, 3, "--data", tmp_path / "link")
    assert names(run) == held
    assert json.loads((run / "config.json").read_text())["data"]["data"] == str(elsewhere)
    moved = run.rename(tmp_path / "moved run")
    with pytest.raises(InputError, match="--labels is 'labels' in this run, not 'masks'"):
        resume(moved, 4, "--labels", "masks")
    (elsewhere / "labels").rename(elsewhere / "masks")
    resume(moved, 4, "--labels", "masks")
    assert to_measure(moved) == held


@pytest.mark.usefixtures("no_steps")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda d: move(d, "p3", d.parent / "away"),
            r"10 images under .*, it lacks p3$",
        ),
        (lambda d: move(d.parent / "new", "p10", d), r"under their names, it adds p10$"),
        (lambda d: move(d, "p3", d, "q3"), r"it lacks p3 and adds q3$"),
        (
            lambda d: (d / "labels.txt").write_text(
                (d / "labels.txt").read_text().replace("hair", "wig")
            ),
            r"the data's label_names are .*wig",
        ),
        (
            lambda d: shutil.rmtree(d),
            r"^--data .*elsewhere: expected mannequins or a",
        ),
        (lambda d: shutil.rmtree(d / "labels"), r"labels: no such folder"),
    ],
)
def test_other_pictures_are_no_moved_ones(
    spoil: Callable[[Path], object], message: str, run: Path, data: Path, tmp_path: Path
) -> None:
    elsewhere = shutil.copytree(data, tmp_path / "elsewhere")
    spoil(elsewhere)
    before = (run / "config.json").read_bytes()
    with pytest.raises(InputError, match=message) as caught:
        resume(run, 3, "--data", elsewhere)
    assert "\n" not in str(caught.value)
    assert "--merge" not in str(caught.value)
    assert (run / "config.json").read_bytes() == before
    with pytest.raises(InputError, match=r"--data is .*photos' in this run, not 'mannequins'$"):
        resume(run, 3, "--data", "mannequins")


@pytest.mark.usefixtures("no_steps")
def test_a_model_away_from_its_run(run: Path, data: Path, tmp_path: Path) -> None:
    held = names(run)
    step = shutil.copytree(run / "checkpoints" / "step_0000002", tmp_path / "alone")
    assert to_measure(step, "--data", data) == held
    (step / SPLIT).unlink()
    assert to_measure(step, "--data", data) == held
    scam.load(run).save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved" / SPLIT).exists()
    move(tmp_path / "new", "p10", data)
    for folder in (step, tmp_path / "saved"):
        with pytest.warns(UserWarning, match="came without the names of its training images"):
            to_measure(folder, "--data", data)
    shutil.copy(run / "checkpoints" / "step_0000002" / SPLIT, step)
    (step / SPLIT).write_text((step / SPLIT).read_text().replace("p3", "p33"))
    with pytest.raises(InputError, match=r"split\.json is damaged or another model's"):
        to_measure(step, "--data", data)


@pytest.mark.usefixtures("no_steps")
def test_a_checkpoint_that_keeps_no_names(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts are compared, and as many are held out as then."""
    held = names(run)
    forget_names(run)
    assert to_measure(run) == held
    move(tmp_path / "new", "p10", data)
    with pytest.raises(InputError, match="has 9 training images, had 8 when this model was"):
        to_measure(run)
    resume(run, 3)
    assert "of an earlier version and keeps no names" in capsys.readouterr().out
    assert not list(run.glob(f"checkpoints/step_0000003/{SPLIT}"))
    elsewhere = data.rename(tmp_path / "elsewhere")
    resume(run, 4, "--data", elsewhere)
    assert names(run) == held
    forget_names(run)
    move(elsewhere, "p10", tmp_path / "new")
    lacks = "--data .*elsewhere.*: has 8 training images, this run 9"
    with pytest.raises(InputError, match=lacks):
        resume(run, 5, "--data", shutil.copytree(elsewhere, tmp_path / "elsewhere still"))


@pytest.mark.usefixtures("no_steps")
def test_a_merge_is_known_by_what_it_holds(data: Path, tmp_path: Path, fast: Fast) -> None:
    out, merge = tmp_path / "merged", tmp_path / "merge.json"
    content = {"scene": [0], "head": [1, 2], "rest": list(range(3, 11))}
    merge.write_text(json.dumps(content))
    train.main(fast("--data", data, "--out", out, *SMALL, "--merge", merge))
    assert json.loads((out / "config.json").read_text())["data"]["merge"] == content
    shutil.copy(merge, tmp_path / "same.json")
    moved = merge.rename(tmp_path / "moved.json")
    resume(out, 3)
    resume(out, 4, "--merge", moved)
    assert len(to_measure(out)) == 2
    others = {"scene": [0], "head": [1], "rest": list(range(2, 11))}
    for other, message in (
        (others, r"--merge is \{"),
        ({**dict(reversed(content.items()))}, "label"),
    ):
        moved.write_text(json.dumps(other))
        with pytest.raises(InputError, match=message):
            resume(out, 5, "--merge", moved)
    config = json.loads((out / "config.json").read_text())
    config["data"]["merge"] = str(merge)  # as earlier versions stored it
    (out / "config.json").write_text(json.dumps(config))
    gone = rf"{merge}, where no file is now: give (its new place as )?(--)?merge"
    for use in (lambda: resume(out, 5), lambda: to_measure(out)):
        with pytest.raises(InputError, match=gone):
            use()
    assert len(to_measure(out, "--merge", tmp_path / "same.json")) == 2
    moved.write_text(json.dumps(content))
    resume(out, 5, "--merge", moved)


def test_weights_behind_the_perceptual_loss_are_known_by_their_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "checkpoints"
    cache.mkdir(parents=True)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(cache.parent))
    usual, old = cache / "vgg19-dcbb9e9d.pth", tmp_path / "gone" / "vgg19-dcbb9e9d.pth"
    usual.write_bytes(b"weights")

    def open_run(path: Path) -> RunFolder:
        training = {"perceptual": "vgg19", "perceptual_weights": str(path)}
        digest = file_digest(usual)
        return RunFolder(tmp_path, {"training": training, "perceptual_digest": digest})

    folder = open_run(old)
    find_weights(folder)
    assert folder.config["training"]["perceptual_weights"] == str(usual)
    with pytest.raises(
        InputError, match="where no file is now: give its new place as perceptual_weights"
    ):
        find_weights(open_run(tmp_path / "gone" / "mine.pth"))
    (tmp_path / "other.pth").write_bytes(b"other")
    with pytest.raises(InputError, match=r"other\.pth holds other weights than this run's"):
        find_weights(open_run(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("setting", "value", "flags"),
    [("lr", 0, []), ("holdout", 99, []), ("merge", "gone.json", []), ("labels", "parts", [])],
)
def test_only_flags_that_were_typed_are_named(
    run: Path, setting: str, value: object, flags: list[str]
) -> None:
    config = json.loads((run / "config.json").read_text())
    config["training" if setting == "lr" else "data"][setting] = value
    (run / "config.json").write_text(json.dumps(config))
    for step in run.glob("checkpoints/step_*"):
        shutil.rmtree(step)
    with pytest.raises(InputError) as caught:
        resume(run, 3, *flags)
    blamed, _, _ = str(caught.value).partition("python -m")  # before a command that is advised
    assert f"--{setting} {value}" not in blamed


@pytest.mark.parametrize(
    ("section", "setting", "value"),
    [("training", "accumulate", 1.5), ("data", "holdout", 0), ("model", "width", 17)],
)
def test_fields_of_a_config_are_no_flags_though_these_were_typed(
    run: Path, section: str, setting: str, value: object
) -> None:
    config = json.loads((run / "config.json").read_text())
    config[section][setting] = value
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=rf"config\.json: .*: {setting}={value}: expected"):
        resume(run, 3, "--accumulate", 1, "--holdout", 2, "--width", 16)


def test_a_merge_in_a_config_that_merges_nothing(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config["data"]["merge"] = {"a": [0, 0]}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.json: merge: label 0 is in 'a' and in 'a'"):
        resume(run, 3)


@pytest.mark.usefixtures("no_steps")
def test_a_checkpoint_whose_split_is_gone(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its digest in config.json tells whether the pictures are the same."""
    split = next(run.glob(f"checkpoints/*/{SPLIT}"))
    content = split.read_bytes()
    split.unlink()
    resume(run, 3)
    assert (run / "checkpoints" / "step_0000003" / SPLIT).read_bytes() == content
    assert "held-out images may" not in capsys.readouterr().out
    (run / "checkpoints" / "step_0000003" / SPLIT).unlink()
    move(data, "p3", data, "renamed")  # as many as before
    resume(run, 4)
    assert "other images than the checkpoint: it has lost its split" in capsys.readouterr().out
    assert not (run / "checkpoints" / "step_0000004" / SPLIT).exists()


@pytest.mark.usefixtures("no_steps")
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "training.pt"])
def test_an_incomplete_newest_checkpoint_is_named(
    run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    resume(run, 3)
    newest = run / "checkpoints" / "step_0000003"
    (newest / name).unlink()
    capsys.readouterr()
    with pytest.warns(UserWarning, match=f"{newest} is incomplete: no {name} in it; step_0000002"):
        assert len(to_measure(run)) == 2
    resume(run, 4)
    said = capsys.readouterr().out
    assert f"{newest} is incomplete: no {name} in it; the run is resumed from step_0000002" in said
    for step in run.glob("checkpoints/step_*"):
        (step / name).unlink(missing_ok=True)
    logged = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(InputError, match=f"step_0000004 is incomplete: no {name} in it, nor is"):
        resume(run, 5)
    assert (run / "metrics.jsonl").read_bytes() == logged
    with pytest.raises(InputError, match=f"complete step folder: .*4 is incomplete: no {name}"):
        to_measure(run)


@pytest.mark.parametrize(
    "content",
    ['{"a": []}', '{"training": []}', "[]", "", '{"training": [1], "held_out": []}', "[" * 99999],
)
def test_a_damaged_split(run: Path, content: str) -> None:
    next(run.glob(f"checkpoints/*/{SPLIT}")).write_text(content)
    for use in (lambda: resume(run, 3), lambda: to_measure(run)):
        with pytest.raises(InputError, match=r"split\.json is damaged: (?!.*__init__)"):
            use()
