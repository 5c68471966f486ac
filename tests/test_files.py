# SPDX-License-Identifier: Apache-2.0
import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress

import pytest

from scam.errors import InputError
from scam.storage.files import (
    checked_path,
    files_aside,
    folder_aside,
    free_folder,
    remove_folder,
    sweep,
    write_aside,
)
from scam.storage.outputs import expect_writable


def names(folder):
    return sorted(os.listdir(folder))


def refuse(code):
    def call(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return call


def test_a_file_appears_whole_with_its_parents_and_ordinary_permissions(tmp_path):
    path = tmp_path / "a" / "b.txt"
    with write_aside(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    with write_aside(path) as file:
        file.write(b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["b.txt"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch, broken):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, broken, refuse(errno.ENOSPC))
    with (
        pytest.raises(InputError, match=rf"^cannot write {path}: No space left on device$"),
        write_aside(path) as file,
    ):
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def fill(path, aside, error):
    with aside(path) as target:
        if aside is write_aside:
            target.write(b"x")
        else:
            (target / "x").touch()
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("aside", [write_aside, folder_aside])
def test_errors_of_the_block_pass_and_clean_up(tmp_path, aside, error):
    with pytest.raises(error):
        fill(tmp_path / "a", aside, error)
    assert names(tmp_path) == []


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(
            InputError,
            match=rf"^cannot write .*file/a\.txt: {tmp_path}/file is a file, expected a f",
        ),
        write_aside(tmp_path / "file" / "a.txt"),
    ):
        pass


def test_what_cannot_be_written_is_known_before(tmp_path):
    (tmp_path / "file").touch()
    for path, reason in (
        (tmp_path, "is a folder, expected a file"),
        (tmp_path / "file" / "a" / "b.txt", rf"{tmp_path}/file is a file, expected a folder"),
    ):
        with pytest.raises(InputError, match=rf"^{path}: cannot be written: {reason}$"):
            expect_writable(path)
    expect_writable(tmp_path / "file")
    expect_writable(tmp_path / "a" / "b" / "c.txt")
    assert names(tmp_path) == ["file"]


def test_a_folder_replaces_the_old_one(tmp_path):
    path = tmp_path / "a"
    for text in ("one", "two"):
        with folder_aside(path) as partial:
            (partial / text).write_text(text)
        assert names(path) == [text]
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("there", [True, False])
def test_of_a_link_to_a_folder_the_link_is_replaced_or_removed(tmp_path, there):
    """As where a step folder was moved to another disk."""
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "a"
    if there:
        elsewhere.mkdir()
        (elsewhere / "mine").touch()
    path.symlink_to(elsewhere)
    with folder_aside(path) as partial:
        (partial / "new").touch()
    assert names(path) == ["new"]
    (tmp_path / "b").symlink_to(elsewhere)
    remove_folder(tmp_path / "b")
    for left in (".c.partial", ".a.old"):
        (tmp_path / left).symlink_to(elsewhere)
    sweep(tmp_path)
    assert names(tmp_path) == (["a", "elsewhere"] if there else ["a"])
    assert not there or names(elsewhere) == ["mine"]


@pytest.mark.parametrize("call", [1, 2])
def test_a_folder_that_cannot_be_renamed_leaves_the_old_one(tmp_path, monkeypatch, call):
    path = tmp_path / "a"
    with folder_aside(path) as partial:
        (partial / "old").touch()
    calls = 0
    replace = os.replace

    def fail_once(*args):
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(errno.EIO, "Input/output error")
        replace(*args)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(InputError, match="Input/output error"), folder_aside(path) as partial:
        (partial / "new").touch()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["a"]


def test_sweep_clears_partial_ones_and_brings_back_old_ones(tmp_path):
    (tmp_path / ".a.partial").mkdir()
    (tmp_path / ".a.partial" / "x").touch()
    (tmp_path / ".b.json.99999999.partial").touch()
    (tmp_path / ".c.old").mkdir()
    (tmp_path / ".c.old" / "was c").touch()
    (tmp_path / ".d.old").mkdir()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "new d").touch()
    sweep(tmp_path)
    assert names(tmp_path) == ["c", "d"]
    assert names(tmp_path / "c") == ["was c"]
    assert names(tmp_path / "d") == ["new d"]
    sweep(tmp_path / "nowhere")


@pytest.fixture
def running():
    """The number of another process, which lives as long as the test."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say who is running")
def test_sweep_spares_what_a_running_process_writes(tmp_path, running):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    for number in (running, process.pid):
        (tmp_path / f".a.png.{number}.partial").touch()
        (tmp_path / f".b.{number}.partial").mkdir()
        (tmp_path / f".c.{number}.old").mkdir()
    theirs = sorted([f".a.png.{running}.partial", f".b.{running}.partial", f".c.{running}.old"])
    sweep(tmp_path)
    assert names(tmp_path) == [*theirs, "c"]
    with folder_aside(tmp_path / "b"), write_aside(tmp_path / "a.png"):
        sweep(tmp_path)
    assert names(tmp_path) == [*theirs, "a.png", "b", "c"]
    sweep(tmp_path, locked=True)
    assert names(tmp_path) == ["a.png", "b", "c"]


def test_two_processes_fill_folders_of_one_name(tmp_path, running):
    other = tmp_path / f".a.{running}.partial"
    other.mkdir()
    stale = tmp_path / ".a.99999999.partial"
    stale.mkdir()
    with folder_aside(tmp_path / "a") as ours:
        assert other.is_dir()
        assert not stale.exists()
        assert str(os.getpid()) in ours.name
    assert names(tmp_path) == sorted([other.name, "a"])


def test_files_move_in_the_order_given_and_spare_others(tmp_path, monkeypatch):
    folder = tmp_path / "new" / "a"
    moved = []
    replace = os.replace

    def follow(source, target):
        moved.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", follow)
    for text in ("one", "two"):
        with files_aside(folder, ["z", "b"]) as partial:
            for name in ("b", "z"):
                (partial / name).write_text(text)
            assert (folder / "b").exists() == (text == "two")
        (folder / "mine").touch()
    assert moved == ["z", "b"] * 2
    assert names(folder) == ["b", "mine", "z"]
    assert (folder / "b").read_text() == (folder / "z").read_text() == "two"
    with pytest.raises(ZeroDivisionError):
        fill(folder, lambda path: files_aside(path, ["x"]), ZeroDivisionError)
    assert names(folder) == ["b", "mine", "z"]


def test_a_free_folder_is_somebody_s_at_once(tmp_path):
    base = tmp_path / "runs" / "step"
    for name in ("step", "step-2", "step-3"):
        with free_folder(base) as folder:
            assert folder.name == name
    assert names(base.parent) == ["step", "step-2", "step-3"]
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=rf"write .*: {tmp_path}/file is a file, expected a fol"),
        free_folder(tmp_path / "file" / "x"),
    ):
        pass


def test_a_free_folder_without_a_file_goes_again(tmp_path):
    for name in ("empty", "full"):
        with suppress(KeyboardInterrupt), free_folder(tmp_path / "new" / name) as folder:
            if name == "full":
                (folder / "report").touch()
            raise KeyboardInterrupt
        assert (tmp_path / "new").exists() == (name == "full")
    assert names(tmp_path / "new" / "full") == ["report"]


@pytest.mark.parametrize("links", [True, False])
def test_what_appears_meanwhile_is_kept(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", refuse(errno.EOPNOTSUPP))
    path = tmp_path / "a"
    for appears in (False, True):
        path.unlink(missing_ok=True)
        refused = pytest.raises(InputError, match="exists by now") if appears else nullcontext()
        with refused, write_aside(path, overwrite=False) as file:
            file.write(b"ours")
            if appears:
                path.write_bytes(b"theirs")
        assert path.read_bytes() == (b"theirs" if appears else b"ours")
        assert names(tmp_path) == ["a"]
    with (
        pytest.raises(InputError, match="a: exists by now; choose another name or give overwrite"),
        files_aside(tmp_path, ["a"], overwrite=False) as partial,
    ):
        (partial / "a").touch()
    assert path.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a"]


def test_threads_of_a_process_write_one_file_one_by_one(tmp_path):
    path = tmp_path / "a"

    def write(number):
        with write_aside(path) as file:
            file.write(bytes([number]) * 10)
            file.flush()
            everybody.wait(10)
            file.write(bytes([number]) * 10)

    everybody = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(path.read_bytes()) == 20
    assert len(set(path.read_bytes())) == 1
    assert names(tmp_path) == ["a"]


def test_a_link_to_nothing_in_the_way_is_named(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    for ask in (expect_writable, lambda path: write_aside(path).__enter__()):
        with pytest.raises(InputError, match="link is a link to nothing, expected a folder"):
            ask(tmp_path / "link" / "x")


@pytest.mark.parametrize("path", ["", None, b"a", 3, "a\0b"])
def test_what_is_no_path(path):
    with pytest.raises(InputError, match=r"^model .*: expected a path") as caught:
        checked_path(path, "model")
    assert "\n" not in str(caught.value)


def test_a_path_may_begin_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert str(checked_path("~/runs", "model")) == "/home/me/runs"


def test_a_removed_folder_is_never_half_there(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").touch()
    monkeypatch.setattr(os, "unlink", refuse(errno.EACCES))
    with pytest.raises(InputError, match=r"cannot remove .*a: Permission denied"):
        remove_folder(tmp_path / "a")
    assert not (tmp_path / "a").exists()
    monkeypatch.undo()
    sweep(tmp_path)
    assert names(tmp_path) == []
