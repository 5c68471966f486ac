# SPDX-License-Identifier: Apache-2.0
"""What the baselines' authors train by: settings that a kind of model brings."""

from pathlib import Path
from typing import Any

import pytest

from scam.data import Mannequins
from scam.errors import InputError
from scam.models import MODELS, ScamConfig
from scam.synthesis.flags import train_parser
from scam.synthesis.options import NEW_RUN, WITH_MUON, SynthesisOptions, chosen_training
from scam.synthesis.settings import complete


def completed(model: dict[str, object], **asked: object) -> dict[str, Any]:
    """The training settings of a run for which ``asked`` is given."""
    settings = {"model": model, "data": {}, "training": {"perceptual": "pyramid", **asked}}
    found: dict[str, Any] = complete(settings, Mannequins("train", 4))["training"]
    return found


class TestRecipes:
    @pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "scam"])
    @pytest.mark.parametrize("fidelity", ["matched", "paper", "released"])
    def test_every_recipe_is_made_of_settings(self, kind: str, fidelity: str) -> None:
        config = MODELS[kind].Config.preset("tiny", fidelity=fidelity)
        SynthesisOptions(**{"perceptual": "vgg19", **config.recipe})

    def test_a_model_without_one_trains_as_before(self) -> None:
        preset = SynthesisOptions.presets["tiny"]
        plain = SynthesisOptions(**preset, **NEW_RUN, **WITH_MUON, gan=0.0).as_dict()
        assert completed({}) == completed({"kind": "inade"}) == plain
        assert ScamConfig.preset("tiny").recipe == {}

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({"gan": 2.0}, (2.0, 1200)),
            ({"gan": 2.0, "steps": 10}, (2.0, 8)),
            ({"lecam": 0.3}, (1.0, 1200)),
            ({"gan_from": 3}, (1.0, 3)),
            ({"style_dropout": 0.1}, (0.0, 0)),
        ],
    )
    def test_a_short_run_has_a_discriminator_if_asked(
        self, asked: dict[str, Any], expected: tuple[float, int]
    ) -> None:
        found = completed({}, **asked)
        assert (found["gan"], found["gan_from"]) == expected

    def test_another_preset_has_one_from_the_first_step(self) -> None:
        found = SynthesisOptions(**chosen_training("idesigner", {}, {}))
        assert (found.gan, found.gan_from) == (1.0, 0)

    @pytest.mark.parametrize("kind", MODELS)
    def test_published_systems_are_trained_by_adam_on_pictures_as_they_are(
        self, kind: str
    ) -> None:
        found = completed({"kind": kind, "fidelity": "released"}, perceptual="pyramid")
        assert found["recolour"] == found["warp"] == 0
        assert found["optimizer"] == "adamw"
        assert completed({"kind": kind})["recolour"] > 0
        asked = completed({"kind": kind, "fidelity": "released"}, recolour=0.25)
        assert (asked["recolour"], asked["warp"]) == (0.25, 0)

    def test_a_stored_run_without_the_settings_has_neither(self) -> None:
        options = SynthesisOptions.from_dict({})
        assert options.recolour == options.warp == 0
        assert options.optimizer == "adamw"

    def test_what_goes_with_muon_goes_with_nothing_else(self) -> None:
        assert completed({})["warmup"] == 30
        adam = completed({}, optimizer="adamw")
        assert (adam["warmup"], adam["decay_from"]) == (100, 1.0)
        assert completed({}, warmup=5, decay_from=0.9)["warmup"] == 5

    def test_the_variant_s_settings_come_before_the_preset_s(self) -> None:
        found = completed({"kind": "inade", "fidelity": "paper"})
        assert (found["lr"], found["lr_discriminator"]) == (1e-4, 4e-4)
        assert (found["discriminator"], found["feature_matching_maps"]) == ("patch", "last")
        assert (found["betas"], found["decay_from"], found["gan_from"]) == ([0.0, 0.9], 0.5, 0)
        assert (found["l1"], found["steps"]) == (0.0, 1500)
        assert completed({"kind": "inade", "fidelity": "released"})["betas"] == [0.0, 0.999]

    def test_what_is_asked_for_comes_before_all(self) -> None:
        paper = {"kind": "inade", "fidelity": "paper"}
        found = completed(paper, l1=3.0, lr=1e-2, gan_from=7)
        assert (found["l1"], found["lr"], found["gan_from"]) == (3.0, 1e-2, 7)

    def test_papers_compare_by_vgg_unless_asked_otherwise(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        settings = {"model": {"kind": "sean", "fidelity": "paper"}, "data": {}, "training": {}}
        with pytest.raises(InputError, match="vgg19"):
            complete(settings, Mannequins("train", 4))

    def test_what_a_kind_cannot_do_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"style_dropout=0\.1: .* not one of kind 'spade'"):
            completed({"kind": "spade"}, style_dropout=0.1)
        assert completed({"kind": "sean"}, style_dropout=0.1)["style_dropout"] == 0.1

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


def test_help_tells_the_defaults_of_a_new_run() -> None:
    help_of = {x.dest: x.help for x in train_parser("scam.train", ScamConfig)._actions}
    for name, value in chosen_training("", {}, {}).items():
        assert f"default: {value}" in str(help_of[name]), name


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
