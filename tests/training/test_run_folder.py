# SPDX-License-Identifier: Apache-2.0
import json
import re
import shutil

import pytest

from scam.checkpoints.step_folders import (
    keep_last,
    newest_step_folder,
    point_latest,
    resolve_checkpoint,
    step_folder,
)
from scam.checkpoints.training_state import TRAINING
from scam.checkpoints.weights import CONFIG, MODEL
from scam.errors import InputError
from scam.training.run_folder import RunFolder

SETTINGS = {"steps": 100, "size": (96, 64), "model": {"name": "scam", "width": 16}}


def add_step(run, step, files=(MODEL, CONFIG, TRAINING)):
    step_folder(run.checkpoints, step).mkdir(parents=True)
    for name in files:
        (step_folder(run.checkpoints, step) / name).write_text("{}")


@pytest.fixture
def run(tmp_path):
    run = RunFolder.start(tmp_path / "out", SETTINGS)
    add_step(run, 10)
    point_latest(run.checkpoints, 10)
    return run


def resume(run, may_change=("steps",), **changes):
    return RunFolder.resume(run.path, SETTINGS | changes, may_change)


def error(call, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_places(tmp_path):
    run = RunFolder.start(tmp_path / "a" / "out", SETTINGS)
    assert json.loads((run.path / "config.json").read_text()) == run.config
    assert run.config["size"] == [96, 64]
    assert run.metrics == run.path / "metrics.jsonl"
    assert run.sample(5) == run.path / "samples" / "step_0000005.png"
    assert step_folder(run.checkpoints, 12345678) == run.path / "checkpoints" / "step_12345678"
    assert newest_step_folder(run.checkpoints) is None


def test_starting_in_an_empty_or_barely_begun_folder(tmp_path):
    (tmp_path / ".config.json.77.partial").touch()
    RunFolder.start(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_starting_in_a_used_folder_is_refused(run, tmp_path):
    expected = f"out='{run.path}' is not empty: resume its run with resume, or give another folder"
    assert error(RunFolder.start, run.path, SETTINGS) == expected
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.jpg").touch()
    assert "is not empty" in error(RunFolder.start, tmp_path / "other", SETTINGS)
    assert "is a file" in error(RunFolder.start, tmp_path / "other" / "holiday.jpg", SETTINGS)
    below = tmp_path / "other" / "holiday.jpg" / "out"
    assert f"cannot write {below / CONFIG}" in error(RunFolder.start, below, SETTINGS)


def test_resuming_takes_what_may_change_and_keeps_the_rest(run):
    resumed = RunFolder.resume(run.path, {"steps": 200, "device": "cpu"}, {"steps", "device"})
    expected = json.loads(json.dumps(SETTINGS)) | {"steps": 200, "device": "cpu"}
    assert resumed.config == expected
    assert json.loads((run.path / CONFIG).read_text()) == json.loads(json.dumps(SETTINGS))
    resumed.store()
    assert json.loads((run.path / CONFIG).read_text()) == expected
    assert newest_step_folder(resumed.checkpoints) == step_folder(run.checkpoints, 10)


def test_resuming_names_every_contradiction(run):
    message = error(resume, run, steps=5, size=[1, 2], model={"name": "scam", "width": 64})
    assert message == (
        f"resume=True: {run.path / CONFIG} has other settings: size is [96, 64] in this run, not "
        "[1, 2]; width is 16 in this run, not 64"
    )
    assert json.loads((run.path / CONFIG).read_text()) == run.config
    nested = resume(run, may_change=("model.width",), model={"width": 64})
    assert nested.config["model"] == {"name": "scam", "width": 64}


def test_resuming_without_a_run(tmp_path):
    where = tmp_path / "out"
    expected = f"resume=True: there is no run in {where} (no config.json)"
    assert error(RunFolder.resume, where, SETTINGS) == expected
    assert not where.exists()
    run = RunFolder.start(where, SETTINGS)
    (where / CONFIG).write_text('{"steps": 1')
    assert f"{where / CONFIG} is damaged: not JSON" in error(resume, run)
    (where / CONFIG).write_text("[]")
    assert "expected a JSON object, found []" in error(resume, run)


def test_resuming_without_a_checkpoint_begins_again(tmp_path):
    run = RunFolder.start(tmp_path / "out", SETTINGS)
    again = resume(run, steps=7)
    assert again.config["steps"] == 7
    assert newest_step_folder(again.checkpoints) is None


def test_a_run_has_steps_once_it_logged_or_saved_one(run, tmp_path):
    fresh = RunFolder.start(tmp_path / "fresh", SETTINGS)
    assert not fresh.has_steps()
    fresh.metrics.write_text('{"step": 0, "psnr_mean_colours": 9}\n')
    assert not fresh.has_steps()
    fresh.metrics.write_text('{"step": 0}\n{"step": 10, "l1": null}\n')
    assert fresh.has_steps()
    assert run.has_steps()


def test_opening_sweeps(run):
    stale = run.checkpoints / ".step_0000020.partial"
    stale.mkdir()
    (stale / MODEL).touch()
    old = run.checkpoints / ".step_0000030.old"
    step_folder(run.checkpoints, 10).rename(old)
    sheet = run.sample(20).with_name(f".{run.sample(20).name}.77.partial")
    sheet.parent.mkdir()
    sheet.touch()
    assert newest_step_folder(resume(run).checkpoints) == step_folder(run.checkpoints, 30)
    assert not stale.exists()
    assert not sheet.exists()


@pytest.mark.parametrize("latest", [None, "", "step_0000099", "../../x", "step_0000020", b"\xff"])
def test_a_broken_latest_gives_the_newest_complete_step(run, latest):
    add_step(run, 9)
    add_step(run, 20, files=(MODEL, CONFIG))
    (run.checkpoints / "notes").mkdir()
    if latest is None:
        (run.checkpoints / "latest").unlink()
    else:
        (run.checkpoints / "latest").write_bytes(
            latest if isinstance(latest, bytes) else latest.encode()
        )
    assert newest_step_folder(run.checkpoints) == step_folder(run.checkpoints, 10)
    with pytest.warns(
        UserWarning, match=r"step_0000020 is incomplete: no training\.pt in it; step"
    ):
        assert resolve_checkpoint(run.path) == step_folder(run.checkpoints, 10)


def test_checkpoints_that_are_a_file(run):
    shutil.rmtree(run.checkpoints)
    run.checkpoints.touch()
    assert (
        error(newest_step_folder, run.checkpoints)
        == f"cannot read {run.checkpoints}: Not a directory"
    )


@pytest.mark.parametrize("path", [None, 3, b"run", ["run"]])
def test_a_checkpoint_that_is_no_path(path):
    assert error(resolve_checkpoint, path) == f"checkpoint {path!r}: expected a path"


def test_latest_wins_over_a_higher_step(run):
    add_step(run, 20)
    assert resolve_checkpoint(str(run.path)) == step_folder(run.checkpoints, 10)
    assert resolve_checkpoint(step_folder(run.checkpoints, 20)) == step_folder(run.checkpoints, 20)


def test_keep_last_spares_what_latest_names(run):
    for step in (20, 30, 40, 10000000):
        add_step(run, step)
    keep_last(run.checkpoints, 2)
    kept = sorted(path.name for path in run.checkpoints.glob("step_*"))
    assert kept == ["step_0000010", "step_0000040", "step_10000000"]
    assert not list(run.checkpoints.glob(".*"))


def test_checkpoints_that_are_none(run, tmp_path):
    wanted = "give a training run's folder, one of its checkpoints/step_* folders or demo"
    nowhere = tmp_path / "nowhere"
    assert error(resolve_checkpoint, nowhere) == f"checkpoint {nowhere} does not exist: {wanted}"
    typed = f"{run.path}s/checkpoints"
    assert error(resolve_checkpoint, typed).endswith(f"; did you mean {run.path}/checkpoints?")
    assert error(resolve_checkpoint, "dmeo").endswith(f"{wanted}; did you mean demo?")
    assert error(resolve_checkpoint, "demo/").endswith(
        "; the text 'demo', not a path, is the model that comes with scam"
    )
    assert "did you mean" not in error(resolve_checkpoint, tmp_path / "dmeo")
    file = step_folder(run.checkpoints, 10) / MODEL
    assert error(resolve_checkpoint, file) == f"checkpoint {file} is a file: {wanted}"
    near = f"; did you mean {run.path}?"
    assert (
        error(resolve_checkpoint, tmp_path)
        == f"checkpoint {tmp_path} holds no model: {wanted}{near}"
    )
    (tmp_path / "none").mkdir()
    assert error(resolve_checkpoint, tmp_path / "none").endswith(wanted)
    (step_folder(run.checkpoints, 10) / CONFIG).unlink()
    message = error(resolve_checkpoint, step_folder(run.checkpoints, 10))
    assert message.endswith("step_0000010 is incomplete: no config.json in it")
    file.unlink()
    message = error(resolve_checkpoint, step_folder(run.checkpoints, 10))
    assert re.search(r"is incomplete: no model.safetensors and no config.json in it$", message)
    none = (
        rf"^checkpoint {run.path} holds no complete step folder: .*/step_0000010 is incomplete: "
    )
    assert re.search(none, error(resolve_checkpoint, run.path))
    fresh = RunFolder.start(tmp_path / "fresh", {})
    assert "holds no complete step folder yet" in error(resolve_checkpoint, fresh.path)
    other = tmp_path / "lake"
    other.mkdir()
    (other / "config.json").write_text('{"format": "semia"}')
    assert f"{other} was made by scam.semia: give a tr" in error(resolve_checkpoint, other)


def test_a_step_folder_for_use_alone_needs_no_training_state(run, tmp_path):
    (step_folder(run.checkpoints, 10) / TRAINING).unlink()
    moved = step_folder(run.checkpoints, 10).rename(tmp_path / "my model")
    assert resolve_checkpoint(moved) == moved
