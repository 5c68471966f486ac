# SPDX-License-Identifier: Apache-2.0
"""When a run is said to have diverged."""

import math
from pathlib import Path

import pytest

from scam.errors import InputError
from scam.training.divergence import Watch
from scam.training.run_folder import RunFolder

FINE = [0.0] * 10


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(RunFolder(tmp_path, {}), limit=5)


def followed(watch: Watch, *losses: float) -> str | None:
    """What ends a run of these losses, each the mean of ten steps; None: nothing."""
    return next((why for loss in losses if (why := watch.add(FINE, loss))), None)


def test_skipped_steps_in_a_row(watch: Watch) -> None:
    assert watch.add([1, 1, 1, 1, 0, 1, 1, 1]) is None
    assert watch.add([1, 1]) == "the gradients of 5 steps in a row were not finite"
    assert watch.total == 9


def test_a_loss_that_falls_and_wavers_is_fine(watch: Watch) -> None:
    falling = [0.6 * 0.97**step for step in range(60)]
    assert followed(watch, *falling, *[0.1, 0.2] * 40) is None


def test_a_loss_that_rises_for_good_ends_the_run(watch: Watch) -> None:
    found = followed(watch, *[0.2] * 50, *[0.45] * 50)
    assert found is not None
    assert found.startswith("its loss has risen from 0.2 to 0.3")


@pytest.mark.parametrize(
    ("losses", "why"),
    [
        ([0.2] * 50 + [0.9] + [0.2] * 20, "a batch that differs"),
        ([0.001] * 50 + [0.02] * 100, "twenty times nearly nothing"),
        ([0.3] * 50 + [0.4] * 100, "less than half, as when a discriminator joins in"),
        ([math.nan] * 50 + [math.inf], "no number: those steps are left out"),
    ],
)
def test_what_ends_no_run(watch: Watch, losses: list[float], why: str) -> None:
    assert followed(watch, *losses) is None, why


def test_it_does_not_matter_how_often_a_loss_is_logged(tmp_path: Path) -> None:
    losses = [0.2] * 400 + [0.5] * 300

    def end(every: int) -> int:
        watch = Watch(RunFolder(tmp_path, {}))
        means = [sum(losses[i : i + every]) / every for i in range(0, 700, every)]
        return every * next(i for i, x in enumerate(means) if watch.add([0.0] * every, x))

    assert abs(end(1) - end(20)) <= 20


def test_its_state(tmp_path: Path) -> None:
    losses = [0.2] * 30 + [0.5] * 4
    whole, first, second = (Watch(RunFolder(tmp_path, {})) for _ in range(3))
    followed(whole, *losses)
    followed(first, *losses[:32])
    second.load_state_dict(first.state_dict())
    followed(second, *losses[32:])
    assert second.state_dict() == whole.state_dict()


def test_earlier_states_followed_no_loss(watch: Watch) -> None:
    followed(watch, 0.2)
    watch.load_state_dict({"total": 3, "in_a_row": 1})
    assert watch.state_dict() == {"total": 3, "in_a_row": 1}
    for bad in (-1.0, math.nan, math.inf, 1, "0.2"):
        with pytest.raises(InputError, match=r"^loss is .*, expected a number, 0 or more"):
            watch.load_state_dict({"total": 0, "in_a_row": 0, "loss": bad, "lowest": 0.1})
    assert watch.total == 3
