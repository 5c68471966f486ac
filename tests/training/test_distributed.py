# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scam.errors import InputError
from scam.training.distributed import SINGLE_PROCESS, World, join

WORKER = Path(__file__).with_name("distributed_worker.py")
CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed"
)


def torchrun(*args: object, processes: int = 2, status: int = 0) -> str:
    """Start processes; with one, without torchrun. Returns what was said on stderr."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    result = subprocess.run(
        [sys.executable, *(launcher if processes > 1 else []), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == status, result.stderr[-3000:]
    return result.stderr


def test_what_processes_tell_each_other(tmp_path: Path) -> None:
    torchrun(WORKER, "primitives", tmp_path)
    main, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert (main["share"], other["share"]) == ([0, 2, 4], [1, 3])
    for found in (main, other):
        assert found["mean"] == [False, True]
        assert found["any"] == [False, True]
        assert found["gradients"] == [[0.5], [2.0], None]
        assert found["from_main"] == {"told by": 0}
        assert found["unequal"].startswith("InputError: the weights of the 2 processes differ")
        assert "equal" not in found
    assert (main["refused"], main["agreed"]) == ("InputError: no", "InputError: all of us")
    assert other["refused"].startswith("PeerExited")
    assert other["agreed"].startswith("PeerExited")
    status, cause = main["alone"]
    assert status == 1
    assert cause.startswith("the connection to the other processes broke (")
    assert "\n" not in cause


def far_apart(a: Any, b: Any) -> float:
    """The largest difference between equal structures of tensors, each relative to the largest
    number of its tensor, or absolute below 1.
    """
    if isinstance(a, torch.Tensor):
        assert a.shape == b.shape
        if not a.numel():
            return 0.0
        a, b = a.double(), b.double()
        return float((a - b).abs().max() / a.abs().max().clamp(min=1))
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        return max((far_apart(a[key], b[key]) for key in a), default=0.0)
    if isinstance(a, list | tuple):
        return max((far_apart(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    return abs(a - b) / max(1.0, abs(a)) if isinstance(a, int | float) else float(a != b)


RUNS: dict[str, tuple[int, dict[str, Any]]] = {
    "plain": (20, {"batch_size": 2, "gan_from": 16}),
    "accumulated": (8, {"batch_size": 4, "accumulate": 2, "gan_from": 4}),
    "augmented": (
        5, {"batch_size": 4, "style_dropout": 0.2, "lecam": 0.3, "diffaugment": "color,cutout"}
    ),
    "matching": (
        5,
        {
            "batch_size": 4, "accumulate": 2, "discriminator": "patch", "feature_matching": 10.0,
            "fresh_fake": True, "decay_from": 0.2, "steps": 6,
        },
    ),
    "oasis": (5, {"batch_size": 4, "discriminator": "oasis", "labelmix": 10.0}),
    "muon": (5, {"batch_size": 4, "gan_from": 5, "optimizer": "muon"}),
    "batch norms": (3, {"batch_size": 4, "kind": "spade"}),
    "codes and noise": (3, {"batch_size": 4, "accumulate": 2, "kind": "sean"}),
    "pairs of codes": (3, {"batch_size": 4, "kind": "inade"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with what one process and what two made of RUNS."""
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for processes, folder in enumerate(folders, start=1):
        torchrun(WORKER, "train", folder, json.dumps(RUNS), processes=processes)
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_equal_one(trained: tuple[Path, Path], name: str) -> None:
    """In float64, where training is not chaotic yet after so few steps.

    Only sums over the batch are rounded differently: by 1e-16, but for what is float32, the
    discriminator's logits and gradient norms and every loss that is returned. Such a loss is
    rounded once by one process, and twice by two, whose mean is rounded again: 3 * 2^-24 = 1.8e-7
    of it apart. Weights follow the logits: 3e-8 measured, where a step of Adam is 1e-3.
    """
    one, two = (torch.load(folder / f"{name}.pt", weights_only=True) for folder in trained)
    assert far_apart(one["losses"], two["losses"]) < 1e-6
    for part in ("model", "ema", "discriminator", "optimizer", "optimizer_d", "adversary"):
        assert far_apart(one["state"][part], two["state"][part]) < 1e-6, part
    assert far_apart(one["losses"][0], one["losses"][1]) > 1e-3


def test_batch_norms_are_synchronised_on_gpus() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    two, gpu = World(0, 2), torch.device("cuda")
    assert SINGLE_PROCESS.synchronise_norms(plain, gpu) is plain
    assert two.synchronise_norms(plain[0], CPU) is plain[0]
    with pytest.raises(InputError, match="over several processes: expected GPUs, found cpu"):
        two.synchronise_norms(plain, CPU)
    found = two.synchronise_norms(plain, gpu)
    assert isinstance(found[1], nn.SyncBatchNorm)
    assert found.state_dict().keys() == plain.state_dict().keys()


def test_alone_nothing_is_exchanged() -> None:
    value = torch.tensor([1.0, 2.0])
    with join(CPU) as (world, device):
        assert world == SINGLE_PROCESS
        assert device == CPU
    assert torch.equal(SINGLE_PROCESS.mean(value), value)
    assert SINGLE_PROCESS.any(True)
    assert not SINGLE_PROCESS.any(False)
    assert SINGLE_PROCESS.from_main(lambda: 3) == 3
    assert list(SINGLE_PROCESS.share(3)) == [0, 1, 2]
    with pytest.raises(InputError, match="as it was"), SINGLE_PROCESS.agreed():
        raise InputError("as it was")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE='two': expected what torchrun sets"),
        ({"WORLD_SIZE": "2"}, "the processes cannot find each other"),
    ],
)
def test_a_broken_environment(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message) as caught, join(CPU):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:1", "device='cuda:1': expected cuda, of which each process takes one"),
        ("cuda", "torchrun: 2 processes here, expected at most 1, the GPUs"),
    ],
)
def test_a_gpu_for_each_process(
    device: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message), join(torch.device(device)):
        pass
