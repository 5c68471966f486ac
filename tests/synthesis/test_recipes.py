# SPDX-License-Identifier: Apache-2.0
"""What the baselines' authors train by: settings of a kind of model, their effect on a step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from scam.data import Mannequins, PairDataset, batches
from scam.errors import InputError
from scam.models import MODELS, ModelConfig, Reconstruction, Scam, ScamConfig
from scam.models.recipes import PAPER, Fidelity, recipe
from scam.settings.fields import setting
from scam.synthesis.discriminators import build_discriminator
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.settings import complete
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


@dataclass(frozen=True)
class BaselineConfig(ModelConfig):
    kind: ClassVar[str] = "inade"
    fidelity: Fidelity = setting("matched")

    @property
    def recipe(self) -> Mapping[str, Any]:
        return recipe(self.kind, self.fidelity)


def completed(model: dict[str, object], **asked: object) -> dict[str, Any]:
    """The training settings of a run for which ``asked`` is given."""
    settings = {"model": model, "data": {}, "training": {"perceptual": "pyramid", **asked}}
    found: dict[str, Any] = complete(settings, Mannequins("train", 4))["training"]
    return found


class TestRecipes:
    @pytest.fixture(autouse=True)
    def registered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kind = type("Baseline", (), {"Config": BaselineConfig})
        monkeypatch.setitem(MODELS, "inade", kind)

    @pytest.mark.parametrize("kind", PAPER)
    @pytest.mark.parametrize("fidelity", ["matched", "paper", "released"])
    def test_every_recipe_is_made_of_settings(self, kind: str, fidelity: Fidelity) -> None:
        SynthesisOptions(**{"perceptual": "vgg19", **recipe(kind, fidelity)})

    def test_unknown_ones(self) -> None:
        with pytest.raises(InputError, match="fidelity='exact': expected matched, paper or rel"):
            recipe("spade", "exact")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="kind='scam': expected one of spade, clade"):
            recipe("scam", "paper")

    def test_a_model_without_one_trains_as_before(self) -> None:
        plain = SynthesisOptions(**SynthesisOptions.presets["tiny"], gan_from=400).as_dict()
        assert completed({}) == completed({"kind": "inade"}) == plain
        assert ScamConfig.preset("tiny").recipe == {}

    def test_the_variant_s_settings_come_before_the_preset_s(self) -> None:
        found = completed({"kind": "inade", "fidelity": "paper"})
        assert (found["lr"], found["lr_discriminator"]) == (1e-4, 4e-4)
        assert (found["discriminator"], found["feature_matching_maps"]) == ("patch", "last")
        assert (found["betas"], found["decay_from"], found["gan_from"]) == ([0.0, 0.9], 0.5, 0)
        assert (found["l1"], found["steps"]) == (0.0, 500)
        assert completed({"kind": "inade", "fidelity": "released"})["betas"] == [0.0, 0.999]

    def test_what_is_asked_for_comes_before_all(self) -> None:
        paper = {"kind": "inade", "fidelity": "paper"}
        found = completed(paper, l1=3.0, lr=1e-2, gan_from=7)
        assert (found["l1"], found["lr"], found["gan_from"]) == (3.0, 1e-2, 7)

    def test_what_has_no_effect_beside_it_is_left_out(self) -> None:
        """VGG-19's slices without it, matching with another discriminator, or without any."""
        paper, plain = {"kind": "inade", "fidelity": "paper"}, SynthesisOptions().as_dict()
        found = completed(paper)
        assert found["vgg_slices"] == plain["vgg_slices"]
        found = completed(paper, discriminator="scam")
        assert (found["feature_matching"], found["feature_matching_maps"]) == (0.0, "all")
        assert found["fresh_fake"]
        found = completed(paper, gan=0.0)
        assert (found["discriminator"], found["fresh_fake"]) == ("scam", False)
        found = completed(paper, feature_matching=0.0)
        assert (found["discriminator"], found["feature_matching_maps"]) == ("patch", "all")
        with pytest.raises(InputError, match="fresh_fake=True: expected a discriminator, not gan"):
            completed(paper, gan=0.0, fresh_fake=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"feature_matching": 1.0},
            r"^feature_matching=1\.0: expected together with discriminator='patch' or sean$",
        ),
        (
            {"discriminator": "patch", "feature_matching_maps": "last"},
            "^feature_matching_maps='last': expected feature_matching above 0$",
        ),
        (
            {"fresh_fake": True, "gan": 0.0},
            "^fresh_fake=True: expected a discriminator, not gan=0",
        ),
        ({"vgg_normalise": False}, "^vgg_normalise=False: expected together with perceptual='vgg"),
        ({"vgg_slices": (0,) * 5}, "^vgg_slices=.*: expected one above 0$"),
        ({"vgg_slices": (1, 2)}, r"^vgg_slices=.*: expected a list of 5$"),
        ({"betas": (0.0, 1.0)}, r"^betas=.*: expected each at least 0 and below 1$"),
        ({"decay_from": 1.5}, r"^decay_from=1\.5: expected at least 0 and at most 1$"),
    ],
)
def test_settings_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SynthesisOptions(**options)


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
