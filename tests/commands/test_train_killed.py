# SPDX-License-Identifier: Apache-2.0
"""A run that is killed outright, again and again, against one that is left alone."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from scam.checkpoints.step_folders import newest_step_folder
from scam.checkpoints.training_state import load_training
from scam.checkpoints.weights import read_weights
from scam.training.run_folder import RunFolder

Fast = Callable[..., list[str]]
KILLS = 20


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "scam.train", *map(str, arguments)]


def finish(*arguments: object) -> None:
    result = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def live_and_die(arguments: list[str], end: Callable[[], object]) -> str:
    """Start a run and kill -9 it when ``end`` returns; its errors."""
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    end()
    process.send_signal(signal.SIGKILL)
    errors = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, errors
    return errors


def check_whole(out: Path) -> int:
    """Whatever lies there can be read; returns the step to go on from, 0 if there is none."""
    metrics = out / "metrics.jsonl"
    if metrics.is_file():
        content = metrics.read_text()
        assert content == "" or content.endswith("\n")
        assert all(isinstance(json.loads(line)["step"], int) for line in content.splitlines())
    newest = newest_step_folder(RunFolder(out, {}).checkpoints)
    if newest is None:
        return 0
    tensors, config = read_weights(newest)
    assert tensors
    assert config["model"]
    step: int = load_training(newest)["step"]
    assert newest.name == f"step_{step:07d}"
    return step


@pytest.mark.exhaustive
def test_killed_twenty_times_a_run_ends_as_if_it_had_not_been(
    photos: Path, tmp_path: Path, fast: Fast
) -> None:
    seed = int(os.environ.get("SCAM_TEST_SEED", time.time_ns() % 10**6))
    chance = random.Random(seed)
    out, whole = tmp_path / "killed", tmp_path / "whole"
    often = ("--save-every", 2, "--sample-every", 3, "--eval-every", 5, "--gan-from", 3)
    fresh = [*fast("--data", photos, *often), "--out", out, "--steps", 10**6]

    def begin_or_go_on() -> list[str]:
        begun = (out / "config.json").exists()
        return command(*(("--resume", "--out", out) if begun else fresh))

    def saved() -> None:
        deadline = time.monotonic() + 600
        while (
            newest_step_folder(RunFolder(out, {}).checkpoints) is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.01)

    begun = time.monotonic()
    live_and_die(command(*fresh), saved)
    longest = 2 * (time.monotonic() - begun)  # enough for a machine of any speed to get on
    assert check_whole(out) > 0
    shutil.rmtree(out)
    done, remains, lives = 0, 0, []
    for _ in range(KILLS):
        seconds = chance.uniform(0, longest)
        errors = live_and_die(begin_or_go_on(), partial(time.sleep, seconds))
        assert "error" not in errors, (seed, errors)
        remains += any(out.rglob(".*.partial"))
        found = check_whole(out)
        assert found >= done, (seed, found, done)
        done = found
        lives.append((round(seconds, 2), done))
    print(
        f"seed {seed}: (seconds lived, step reached) {lives}; half-written files {remains} times"
    )
    assert done > 2, "no life was long enough to get on"
    finish("--resume", "--out", out, "--steps", done + 3)
    finish(*fast("--data", photos, *often), "--out", whole, "--steps", done + 3)

    assert (out / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    name = f"checkpoints/step_{done + 3:07d}"
    for file in ("model.safetensors", "config.json"):
        assert (out / name / file).read_bytes() == (whole / name / file).read_bytes(), file
    states = [load_training(run / name)["trainer"] for run in (out, whole)]
    assert repr_of(states[0]) == repr_of(states[1])
    assert not list(out.rglob(".*"))


def repr_of(state: object) -> object:
    """The same structure with bytes for tensors, which can be compared."""
    if isinstance(state, dict):
        return {key: repr_of(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [repr_of(value) for value in state]
    return state.numpy().tobytes() if hasattr(state, "numpy") else state
