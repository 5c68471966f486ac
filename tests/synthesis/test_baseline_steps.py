# SPDX-License-Identifier: Apache-2.0
"""What the baselines' training settings do to a step: schedule, fresh fakes, own losses."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scam.data import Mannequins, PairDataset, batches
from scam.models import Reconstruction, Scam, ScamConfig
from scam.synthesis.discriminators import build_discriminator
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.step import SynthesisStep
from scam.training.optimisation import decay
from scam.training.precision import resolve_precision
from scam.training.randomness import picture_generators
from scam.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
CPU = torch.device("cpu")
PATCH = {"discriminator": "patch", "feature_matching": 10.0}


def batch(count: int, step: int = 0) -> tuple[Tensor, Tensor]:
    dataset = PairDataset(Mannequins("train", 16), (32, 32))
    found = next(batches(dataset, count, seed=0, start_step=step))
    return found["image"], found["labels"]


def test_rates_are_whole_and_then_fall_linearly() -> None:
    assert [decay(step, 10, 0.5) for step in range(1, 11)] == [1.0] * 6 + [0.8, 0.6, 0.4, 0.2]
    assert [decay(step, 4, 0.0) for step in range(1, 5)] == [1.0, 0.75, 0.5, 0.25]
    assert {decay(step, 7, 1.0) for step in range(1, 8)} == {1.0}


def test_both_optimisers_follow_betas_and_decay(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(betas=(0.0, 0.9), decay_from=0.5, steps=4, warmup=0, **PATCH)
    rates = []
    for step in range(1, 5):
        trainer.step(batch(2, step), step)
        optimizers = [x.optimizer for x in trainer.learner.optimisations.values()]
        rates.append([x.param_groups[0]["lr"] for x in optimizers])
        assert all(tuple(x.param_groups[0]["betas"]) == (0.0, 0.9) for x in optimizers)
    assert rates == [[1e-3] * 2, [1e-3] * 2, [1e-3] * 2, [5e-4] * 2]


@pytest.mark.parametrize("fresh", [False, True])
def test_whether_the_model_s_step_is_seen(make_trainer: MakeTrainer, fresh: bool) -> None:
    """A fresh fake is of the weights after the step, and of other noise."""
    trainer = make_trainer(fresh_fake=fresh, warmup=0)
    learner, (image, labels) = trainer.learner, batch(2)
    shown: list[Tensor] = []
    original = learner.adversary.discriminator_losses

    def look(fake: Tensor, part: object) -> object:
        shown.append(fake)
        return original(fake, part)

    learner.adversary.discriminator_losses = look
    generators = partial(picture_generators, 0, 1, range(2))

    def generated(purpose: str) -> Tensor:
        found: Tensor = learner.model(image, labels, generators(purpose, CPU)).detach()
        return found

    before = generated("noise")
    trainer.step((image, labels), 1)
    assert torch.equal(shown[0], generated("noise of the fresh fake") if fresh else before)
    assert not shown[0].requires_grad


def test_real_and_fake_go_through_the_discriminator_in_one_pass(
    make_trainer: MakeTrainer,
) -> None:
    learner = make_trainer(**PATCH).learner
    sizes: list[int] = []
    learner.discriminator.scales[0].register_forward_pre_hook(
        lambda _, inputs: sizes.append(len(inputs[0]))
    )
    learner.step(batch(2), 1)
    assert sizes == [4, 4]


@pytest.mark.parametrize("name", ["patch", "sean"])
def test_in_bfloat16_losses_are_finite_and_near(make_trainer: MakeTrainer, name: str) -> None:
    found = []
    for enabled in (False, True):
        learner = make_trainer(**{**PATCH, "discriminator": name}).learner
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            image, labels = batch(2)
            learner.adversary.begin(labels, partial(picture_generators, 0, 1, range(2)))
            shown = learner.adversary.batch(image, labels, partial(picture_generators, 0, 1, [0]))
            terms = learner.adversary.generator_losses(image.flip(3), shown)
        found.append({name: value for name, (_, value) in terms.items()})
        assert all(value.dtype == torch.float32 for value in found[-1].values())
    torch.testing.assert_close(found[1], found[0], rtol=0.05, atol=0.05)


class Divergent(Scam):
    """With a loss of its own, as models that draw their styles have."""

    def reconstruct(
        self, image: Tensor, labels: Any, noise: Any = None, kept: Tensor | None = None
    ) -> Reconstruction:
        made = super().reconstruct(image, labels, noise, kept)
        return Reconstruction(made.image, {"kl": (0.3, made.image.square().mean())})


def test_a_model_s_own_loss_is_one_of_the_step_s(small: ScamConfig) -> None:
    """Cut into parts it is that of the whole batch, and it moves the weights."""

    def step(kind: type[Scam], **options: object) -> tuple[dict[str, Tensor], Tensor]:
        settings = SynthesisOptions(fresh_fake=True, perceptual="none", **PATCH, **options)
        torch.manual_seed(0)
        learner = SynthesisStep(
            kind(small),
            build_discriminator(small, settings),
            nn.Identity(),
            settings,
            resolve_precision(False, CPU),
            CPU,
        )
        return learner.step(batch(4), 1), next(learner.model.generator.parameters()).detach()

    whole, moved = step(Divergent)
    parts, _ = step(Divergent, accumulate=2)
    without, unmoved = step(Scam)
    assert whole.keys() - without.keys() == {"kl"}
    assert whole["kl"] > 0
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
    assert not torch.equal(moved, unmoved)
