# SPDX-License-Identifier: Apache-2.0
import errno
import os
import re
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from scam.checkpoints import step_folders
from scam.checkpoints.step_folders import resolve_checkpoint, step_folder
from scam.checkpoints.training_state import TRAINING, load_training
from scam.checkpoints.weights import CONFIG, MODEL, read_weights
from scam.errors import InputError
from scam.training.run_folder import RunFolder

CONFIGURATION = {"model": "scam", "labels": 5, "channels": [1, 2]}


@pytest.fixture
def run(tmp_path):
    return RunFolder.start(tmp_path / "out", {"steps": 3})


def save(run, step, **changes):
    return step_folders.save(
        run.checkpoints,
        step,
        {"w": torch.full((4, 4), float(step))},
        CONFIGURATION,
        {"step": step} | changes,
    )


def assert_whole(run, step):
    folder = resolve_checkpoint(run.path)
    assert folder.name == f"step_{step:07d}"
    tensors, config = read_weights(folder)
    assert tensors["w"].eq(step).all()
    assert config == CONFIGURATION
    assert load_training(folder)["step"] == step


def entries(run):
    return sorted(path.name for path in run.checkpoints.iterdir())


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def test_tensors_come_back_to_the_bit(run):
    base = torch.randn(6, 4)
    odd = torch.tensor([float("nan"), -0.0, float("inf"), 1e-45])
    tensors = {
        "base": base,
        "alias": base,
        "slice": base[1:3],
        "transposed": base.t(),
        "expanded": torch.randn(3, 1).expand(3, 5),
        "parameter": nn.Parameter(torch.randn(3)),
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "odd": odd,
        **{str(dtype): odd.to(dtype) for dtype in (torch.float64, torch.bfloat16, torch.float16)},
        "labels": torch.arange(5, dtype=torch.uint8),
        "mask": torch.tensor([True, False]),
    }
    loaded, config = read_weights(
        step_folders.save(run.checkpoints, 1, tensors, CONFIGURATION, {})
    )
    assert config == CONFIGURATION
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype, name
        assert loaded[name].shape == tensor.shape, name
        assert torch.equal(bits(loaded[name]), bits(tensor.detach())), name


def test_training_goes_on_to_the_bit(run):
    def make():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        return net, torch.optim.AdamW(net.parameters(), lr=0.1)

    def train(net, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            net(torch.randn(4, 3)).square().sum().backward()
            optimizer.step()

    net, optimizer = make()
    train(net, optimizer, 2)
    state = {"net": net.state_dict(), "opt": optimizer.state_dict(), "rng": torch.get_rng_state()}
    folder = step_folders.save(run.checkpoints, 2, net.state_dict(), CONFIGURATION, state)
    train(net, optimizer, 2)

    again, optimizer = make()
    state = load_training(folder)
    again.load_state_dict(state["net"])
    optimizer.load_state_dict(state["opt"])
    torch.set_rng_state(state["rng"])
    train(again, optimizer, 2)
    for left, right in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(left, right)


def test_files_are_as_readable_as_any_other(run, tmp_path):
    folder = save(run, 1)
    (tmp_path / "plain").touch()
    for name in (MODEL, CONFIG, TRAINING):
        assert (folder / name).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_path_that_is_not_utf8(tmp_path):
    run = RunFolder.start(tmp_path / os.fsdecode(b"run_\xff\xfe"), {})
    save(run, 1)
    assert_whole(run, 1)


def test_the_last_three_are_kept(run):
    for step in range(1, 6):
        save(run, step)
        assert_whole(run, step)
    assert entries(run) == ["latest", "step_0000003", "step_0000004", "step_0000005"]


def test_the_same_step_is_replaced(run):
    save(run, 1, note="old")
    folder = save(run, 1, note="new")
    assert load_training(folder)["note"] == "new"
    assert entries(run) == ["latest", "step_0000001"]


def test_what_a_kill_left_is_swept_by_the_next_save(run):
    stale = run.checkpoints / ".step_0000007.partial"
    stale.mkdir(parents=True)
    (stale / MODEL).write_bytes(b"half")
    save(run, 1)
    assert entries(run) == ["latest", "step_0000001"]


def test_state_that_would_not_load_is_refused_at_once(run):
    save(run, 1)
    with pytest.raises(TypeError, match="training_state cannot be loaded again"):
        save(run, 2, where=run.path)
    assert entries(run) == ["latest", "step_0000001"]
    assert_whole(run, 1)


def refusal(run, step):
    """Save; the words of the refusal, if any."""
    try:
        save(run, step)
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("name", "calls"), [("fsync", 8), ("replace", 2)])
def test_the_previous_one_survives_an_error_at_any_call(run, monkeypatch, name, calls):
    """``calls``: of os.fsync (four files, folder, parent; latest, parent), of os.replace."""
    save(run, 1)
    real = getattr(os, name)
    for failing in range(1, calls + 1):
        count = 0

        def fail(*args, failing=failing):
            nonlocal count
            count += 1
            if count == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args)

        monkeypatch.setattr(os, name, fail)
        words = refusal(run, 1 + failing)
        monkeypatch.undo()
        assert words is not None
        assert re.fullmatch(rf"cannot write {run.checkpoints}/\S+: No space left on device", words)
        assert not list(run.checkpoints.glob(".*"))
        newest = resolve_checkpoint(run.path)
        step = load_training(newest)["step"]
        assert newest == step_folder(run.checkpoints, step)
        assert_whole(run, step)
    assert refusal(run, 50) is None
    assert_whole(run, 50)


@pytest.mark.parametrize("writer", ["save_file", "torch.save"])
def test_a_full_disk_is_one_clear_line(tmp_path, writer):
    """The system itself refuses: files may not grow beyond a limit in this process."""
    big = {"save_file": ("200_000", "10"), "torch.save": ("10", "200_000")}[writer]
    script = f"""
        import resource, torch
        from scam.errors import InputError
        from scam.checkpoints import step_folders
        from scam.training.run_folder import RunFolder
        run = RunFolder.start({str(tmp_path / "out")!r}, {{}})
        small = {{"w": torch.full((4, 4), 1.0)}}
        step_folders.save(run.checkpoints, 1, small, {CONFIGURATION!r}, {{"step": 1}})
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        weights, state = torch.ones({big[0]}), torch.ones({big[1]})
        try:
            tensors, state = {{"w": weights}}, {{"s": state}}
            step_folders.save(run.checkpoints, 2, tensors, {CONFIGURATION!r}, state)
        except InputError as error:
            print(error)
    """
    result = python(script)
    run = RunFolder(tmp_path / "out", {})
    assert result.stdout.startswith(f"cannot write {step_folder(run.checkpoints, 2)}: ")
    assert "File too large" in result.stdout
    assert result.stdout.count("\n") == 1
    assert entries(run) == ["latest", "step_0000001"]
    assert_whole(run, 1)


def test_a_killed_run_always_leaves_a_checkpoint_that_loads(tmp_path):
    """Saves in a loop, killed five times at moments spread over the saves."""
    script = f"""
        import os, signal, time, torch
        from scam.checkpoints.weights import read_weights
        from scam.checkpoints import step_folders
        from scam.checkpoints.step_folders import newest_step_folder, resolve_checkpoint
        from scam.checkpoints.training_state import load_training
        from scam.training.run_folder import RunFolder
        torch.set_num_threads(1)

        def save(run, step):
            tensors = {{"w": torch.full((64, 1024), float(step))}}
            state = {{"step": step, **tensors}}
            step_folders.save(run.checkpoints, step, tensors, {CONFIGURATION!r}, state)

        out = {str(tmp_path / "out")!r}
        run = RunFolder.start(out, {{}})
        save(run, 1)
        step, leftovers = 1, 0
        for kill in range(5):
            child = os.fork()
            if child == 0:
                while True:
                    step += 1
                    save(run, step)
            deadline = time.monotonic() + 600
            first = newest_step_folder(run.checkpoints)
            while newest_step_folder(run.checkpoints) == first and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.0137 * kill)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            leftovers += any(name.startswith(".") for name in os.listdir(run.checkpoints))
            folder = resolve_checkpoint(out)
            tensors, config = read_weights(folder)
            state = load_training(folder)
            assert config == {CONFIGURATION!r}
            assert state["step"] > step, "nothing was saved before the kill"
            step = state["step"]
            assert folder.name == f"step_{{step:07d}}"
            assert tensors["w"].eq(step).all() and state["w"].eq(step).all()
            run = RunFolder.resume(out, {{}})
            assert not any(name.startswith(".") for name in os.listdir(run.checkpoints))
            assert newest_step_folder(run.checkpoints) == folder
        print("steps", step, "leftovers", leftovers)
    """
    assert python(script).stdout.startswith("steps")


def python(script):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result


LOADERS = {
    MODEL: read_weights,
    CONFIG: read_weights,
    TRAINING: load_training,
}


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.95])
def test_a_file_cut_short_is_named(run, name, share):
    path = save(run, 1) / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"is damaged") as caught:
        LOADERS[name](path.parent)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LOADERS)
def test_a_file_of_something_else_is_named(run, name):
    path = save(run, 1) / name
    path.write_bytes(b"\x80\x02]q\x00." + b"not what it was" * 50)
    with pytest.raises(InputError, match=rf"{path} is damaged"):
        LOADERS[name](path.parent)


@pytest.mark.parametrize("name", LOADERS)
def test_a_missing_file_is_named(run, name):
    path = save(run, 1) / name
    path.unlink()
    with pytest.raises(InputError, match=rf"cannot read {path}: No such file"):
        LOADERS[name](path.parent)


def test_training_state_runs_no_code(run, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    folder = save(run, 1)
    torch.save({"x": Trap()}, folder / TRAINING)
    with pytest.raises(InputError, match=r"is damaged"):
        load_training(folder)
    assert not (tmp_path / "sprung").exists()
