# SPDX-License-Identifier: Apache-2.0
"""``torchrun -m scam.train`` with two processes on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scam import train
from scam.checkpoints.training_state import load_training
from scam.commandline import command
from scam.errors import PeerExited

Fast = Callable[..., list[str]]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed"
)


def start(arguments: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*TORCHRUN, "-m", "scam.train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def ours(stderr: str) -> list[str]:
    """Lines that this package wrote, not torchrun."""
    return [line for line in stderr.splitlines() if line.startswith("python -m scam.train: ")]


def losses(run: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    steps = [line["step"] for line in lines if "l1" in line]
    assert len(set(steps)) == len(steps), "a step was written twice"
    return {line["step"]: line["l1"] for line in lines if "l1" in line}


def test_together_then_alone(photos: Path, tmp_path: Path, fast: Fast) -> None:
    """Equal to 1e-3 as long as rounding has not grown: float32, the paper's learning rate."""
    common = fast("--data", photos, "--lr", "1e-4")
    process = start([*common, "--out", str(tmp_path / "two")])
    said, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    assert said.count("cpu, 2 processes") == said.count("run folder:") == said.count("sheet:") == 1
    train.main([*common, "--out", str(tmp_path / "one")])
    for run in ("one", "two"):  # a run of two goes on alone
        train.main(["--resume", "--out", str(tmp_path / run), "--steps", "4"])
    one, two = (losses(tmp_path / run) for run in ("one", "two"))
    assert list(one) == list(two) == [1, 2, 3, 4]
    assert all(two[step] == pytest.approx(one[step], rel=1e-3) for step in one)
    assert one != dict.fromkeys(one, one[1])


@pytest.mark.slow
def test_sigterm_to_torchrun_saves_once_and_two_go_on(
    photos: Path, tmp_path: Path, fast: Fast
) -> None:
    out = tmp_path / "run"
    process = start(fast("--data", photos, "--out", out, "--steps", 9999, "--save-every", 9999))
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "metrics.jsonl").is_file() and '"l1"' in (out / "metrics.jsonl").read_text():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=600)
    assert process.returncode != 0
    (line,) = ours(errors)
    assert "stopped by SIGTERM after step" in line
    assert "PeerExited" not in errors
    (saved,) = (out / "checkpoints").glob("step_*")
    done = load_training(saved)["step"]
    assert done == int(saved.name.removeprefix("step_")) == max(losses(out))
    resumed = start(["--resume", "--out", str(out), "--steps", str(done + 1)])
    said, errors = resumed.communicate(timeout=600)
    assert resumed.returncode == 0, errors[-3000:]
    assert f"step_{done + 1:07d}" in said
    assert max(losses(out)) == done + 1


@pytest.mark.parametrize("cause", ["", "the connection to the other processes broke (timeout)"])
def test_a_broken_connection_is_told_where_it_is_known(
    cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose(_: object) -> None:
        raise PeerExited(1, cause)

    with pytest.raises(SystemExit) as left:
        command.run(lose, "prog")
    assert left.value.code == 1
    assert capsys.readouterr().err == (f"prog: error: {cause}\n" if cause else "")


ON_TWO_MACHINES = """
import os
import sys

if os.environ["RANK"] == "1":
    os.chdir("elsewhere")
from scam.train import main

main(sys.argv[1:])
"""


def test_only_the_main_process_needs_the_run_folder(
    photos: Path, tmp_path: Path, fast: Fast
) -> None:
    """The other one, as if on another machine, sees no run and no checkpoint."""
    train.main(fast("--data", photos, "--out", tmp_path / "run"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "train.py").write_text(ON_TWO_MACHINES)
    result = subprocess.run(
        [*TORCHRUN, "train.py", "--resume", "--out", "run", "--steps", "3"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert list(losses(tmp_path / "run")) == [1, 2, 3]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_mistake_is_told_once(tmp_path: Path, fast: Fast) -> None:
    process = start([*fast("--out", tmp_path / "run"), "--batch-size", "3"])
    said, errors = process.communicate(timeout=600)
    assert process.returncode != 0
    # torch 2.10 lets Gloo print when it connects.
    assert not [line for line in said.splitlines() if not line.startswith("[Gloo]")]
    (line,) = ours(errors)
    assert "--batch-size 3: expected a multiple of the 2 processes" in line
    assert "InputError" not in errors
    assert "PeerExited" not in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_picture_that_one_process_cannot_read_ends_both(
    photos: Path, tmp_path: Path, fast: Fast
) -> None:
    for path in (photos / "images").iterdir():
        path.write_bytes(path.read_bytes()[:-400])
    process = start(fast("--data", photos, "--out", tmp_path / "run"))
    _, errors = process.communicate(timeout=600)
    assert process.returncode != 0
    assert all("cannot be read" in line for line in ours(errors))
    assert 1 <= len(ours(errors)) <= 2
    assert not (tmp_path / "run").exists()
