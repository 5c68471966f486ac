# SPDX-License-Identifier: Apache-2.0
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scam.errors import InputError
from scam.storage import locks
from scam.storage.locks import is_lock, locked
from scam.training.run_folder import RunFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")

HOLD = """
import sys, time
from scam.storage.locks import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(out: Path) -> "subprocess.Popen[str]":
    """Another process that holds the lock until it reads a line."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with holder(out) as process:
        message = rf"out='{out}': process {process.pid} on \S+ is training there; wait for its end"
        with pytest.raises(InputError, match=message) as caught, locked(out):
            pass
        assert "\n" not in str(caught.value)
        assert out.is_dir(), "a refusal must not take the holder's folder away"
        process.communicate("\n")
    assert not out.exists(), "nothing was written"
    with locked(out):
        pass


def test_a_link_to_nothing_is_no_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.symlink_to("nowhere")
    with (
        pytest.raises(InputError, match="run is a link to nothing, expected a folder"),
        locked(out),
    ):
        pass


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with holder(out) as process:
        process.kill()
    assert [is_lock(name) for name in os.listdir(out)] == [True]
    with locked(out):
        RunFolder.start(out, {"steps": 1})  # what a killed process left is not a run
    assert os.listdir(out) == ["config.json"]


def test_a_name_taken_away_meanwhile_locks_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opened the file before its holder removed it would hold a lock without a name."""
    original, opened = locks._lock, []

    def slow(descriptor: int, what: str, doing: str) -> None:
        if not opened:
            (tmp_path / "run" / ".lock").unlink()
        opened.append(descriptor)
        original(descriptor, what, doing)

    monkeypatch.setattr(locks, "_lock", slow)
    with locked(tmp_path / "run"):
        assert len(opened) == 2
        assert (tmp_path / "run" / ".lock").read_text().startswith(f"process {os.getpid()} on ")


def test_places_that_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"out=.*file' is a file"), locked(tmp_path / "file"):
        pass
    below = tmp_path / "file" / "run"
    with pytest.raises(InputError, match=rf"cannot write out='{below}': "), locked(below):
        pass

    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "lockf", unsupported)
    with pytest.warns(UserWarning, match="cannot be locked"), locked(tmp_path / "run"):
        pass


def test_a_full_disk_leaves_neither_lock_nor_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "runs" / "a"
    with monkeypatch.context() as patch:
        patch.setattr(locks.os, "write", full)
        message = rf"^cannot write out='{out}': No space left on device$"
        with pytest.raises(InputError, match=message), locked(out):
            pass
    assert not out.parent.exists()
    with locked(out):
        pass
