# SPDX-License-Identifier: Apache-2.0
"""A training step on a GPU: how much it launches, and that it never waits."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
sys.path.insert(0, str(Path(__file__).parent))
from absent_gpu import DEVICE, Seen, absent_gpu, built_there  # noqa: E402

from scam.models import ScamConfig  # noqa: E402
from scam.profiling.subject import build_step, draw_batch  # noqa: E402
from scam.training.trainer import Trainer  # noqa: E402

CONFIG = ScamConfig.preset("celebamask-hq")
PYRAMID = {"known": 1, "majority": 1, "rescue": 1}


@pytest.fixture(scope="module")
def gpu() -> Iterator[tuple[Seen, Trainer]]:
    with absent_gpu() as seen:
        with built_there():
            step = build_step(CONFIG, DEVICE)
        yield seen, Trainer(step)


def test_a_step(gpu: tuple[Seen, Trainer]) -> None:
    """Nothing waits, or a tensor without values would raise."""
    seen, trainer = gpu
    image, labels = draw_batch(CONFIG, 8, torch.device("cpu"))
    image = image.to(DEVICE)
    with seen:
        trainer.step((image, labels), 1)
        known = set(seen.keys)
        seen.forget()
        trainer.step((image, labels), 2)
    assert seen.keys <= known  # none of these would ask Triton
    assert seen.kernels.total() <= 336
    # 6370 with PyTorch 2.14, 1070 of them Muon's. Versions differ by a few.
    assert seen.operations.total() <= 6460
    assert seen.copied <= 2  # the label map, and which tokens are read


def test_label_maps(gpu: tuple[Seen, Trainer]) -> None:
    """All levels in three launches, and two sort a level, three if it is large."""
    seen, trainer = gpu
    labels = torch.zeros(8, *CONFIG.size, dtype=torch.int64, device=DEVICE)
    found = []
    learner = trainer.learner
    unchecked = {"values": False}  # as in a step
    for make, less in ((learner.model.prepare, unchecked), (learner.discriminator.label_maps, {})):
        seen.forget()
        with seen:
            make(labels, **less)
        found.append((dict(seen.kernels), dict(seen.operations)))
    levels = CONFIG.levels + 1
    of_model, of_discriminator = found
    sorting = {"count": levels, "place": levels, "scan": 1}
    assert of_model == (PYRAMID | sorting, {"new_zeros": 1})
    assert of_discriminator == (PYRAMID, {"new_zeros": 1})


@pytest.mark.parametrize("wait", [torch.Tensor.item, torch.Tensor.nonzero, torch.Tensor.cpu, bool])
def test_what_waits_for_a_gpu_is_seen(wait: object, gpu: tuple[Seen, Trainer]) -> None:
    seen, _ = gpu
    number = torch.ones((), device=DEVICE)
    with seen, pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        wait(number)  # type: ignore[operator]
