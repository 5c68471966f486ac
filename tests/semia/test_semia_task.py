# SPDX-License-Identifier: Apache-2.0
import itertools
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import scam.semia
from scam.checkpoints.training_state import load_training
from scam.data.convert import floating
from scam.errors import InputError, Stopped
from scam.semia.generator import GeneratorConfig
from scam.semia.landscape.example import example
from scam.semia.learning import learn, start
from scam.semia.options import SemiaOptions
from scam.semia.pairs import Pair, Pairs
from scam.semia.patches import PatchOptions
from scam.semia.plan import within_seconds
from scam.semia.task import SemiaTask
from scam.semia.vocabulary import Vocabulary
from scam.training import engine
from scam.training.run_folder import RunFolder
from scam.training.task import Losses

CPU = torch.device("cpu")
DRAWN = example(32, 40)
IMAGE, LABELS, COUNT = DRAWN.image.float() / 127.5 - 1, DRAWN.labels, len(DRAWN.names)
FAST = PatchOptions(rounds=1, last_rounds=1)
TINY = {"steps": 4, "pairs": 5, "discriminator_width": 4, "warmup": 0, "log_every": 1}
LOSSES = ("gan", "feature_matching", "coherence", "align", "fixed_point", "l1")


def task(config: dict[str, Any] | None = None, **options: Any) -> SemiaTask:
    network = GeneratorConfig(num_labels=COUNT, width=4, **(config or {}))
    return SemiaTask(IMAGE, LABELS, network, SemiaOptions(**TINY | options), FAST)


def alone(name: str, **config: bool) -> SemiaTask:
    """With one loss."""
    return task(config, **{other: float(other == name) for other in LOSSES})


def edited(of: SemiaTask) -> Pair:
    """A pair whose label maps differ."""
    pairs = (of.pairs.edited(number) for number in itertools.count())
    return next(pair for pair in pairs if not torch.equal(pair.labels, pair.target))


def gradients(network: nn.Module) -> list[Tensor]:
    return [x.grad for x in network.parameters() if x.grad is not None]


class TestStep:
    @pytest.mark.parametrize("name", ["gan", "coherence", "align"])
    def test_a_loss_reaches_the_generator_alone(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At the generator's step neither judge of it has a gradient."""
        learner = alone(name, start=False)
        seen = []
        step = learner.generation.step

        def watched(rate: float) -> tuple[Losses, Tensor]:
            seen.append(sum(float(x.abs().sum()) for x in gradients(learner.model)))
            for judge in (learner.discriminator, learner.segmenter):
                assert gradients(judge) == []
            return step(rate)

        monkeypatch.setattr(learner.generation, "step", watched)
        losses = learner.step(edited(learner), 1)
        assert seen[0] > 0
        assert float(losses["grad_norm"]) > 0
        assert name in losses

    def test_every_network_learns(self) -> None:
        learner = task()
        networks = {"model": learner.model, **learner.others}
        before = {
            name: nn.utils.parameters_to_vector(x.parameters()).clone()
            for name, x in networks.items()
        }
        learner.step(edited(learner), 1)
        for name, network in networks.items():
            assert not torch.equal(
                nn.utils.parameters_to_vector(network.parameters()), before[name]
            )

    def test_judges_that_nobody_asks_do_not_learn(self) -> None:
        learner = alone("coherence")
        losses = learner.step(edited(learner), 1)
        assert losses.keys() == {"coherence", "grad_norm"}

    def test_the_fixed_point_is_there_from_the_beginning(self) -> None:
        learner = task()
        losses = learner.step(learner.pairs.itself, 1)
        assert float(losses["fixed_point"]) == 0
        assert float(losses["l1"]) < 1e-6
        assert "coherence" not in losses

    def test_a_loss_is_needed_where_no_truth_is_known(self) -> None:
        with pytest.raises(InputError, match=r"^gan=0\.0: expected .* above 0"):
            alone("l1")


class TestPairs:
    @staticmethod
    def pairs(seed: int = 0, **more: bool) -> Pairs:
        return Pairs(IMAGE[None], LABELS[None], COUNT, 10, seed, FAST, **more)

    def test_they_depend_on_seed_and_step_alone(self) -> None:
        one, two = self.pairs(), self.pairs()
        found = {step: one.at(step, 30) for step in range(1, 31)}
        for step in reversed(found):
            again = two.at(step, 30)
            for name in ("image", "labels", "target"):
                assert torch.equal(getattr(again, name), getattr(found[step], name))
            assert (again.truth is None) == (found[step].truth is None)
            assert torch.equal(again.start.image, found[step].start.image)
        others = [self.pairs(seed=1).at(step, 30) for step in found]
        assert not all(
            torch.equal(x.target, y.target) for x, y in zip(found.values(), others, strict=True)
        )

    def test_every_kind_of_pair_comes(self) -> None:
        pairs = self.pairs()
        found = [pairs.at(step, 60) for step in range(1, 61)]
        same = [pair for pair in found if pair.unchanged]
        assert len(same) >= 12
        for pair in same:
            assert torch.equal(pair.image, IMAGE[None])
            assert torch.equal(pair.target, LABELS[None])
        assert any(pair.truth is None for pair in found)
        assert any(
            pair.truth is not None and torch.equal(pair.image, IMAGE[None])
            for pair in found
            if not pair.unchanged
        )
        assert any(not torch.equal(pair.image, IMAGE[None]) for pair in found)

    def test_collages_are_of_the_pair_s_own_source(self) -> None:
        pairs = self.pairs()
        for step in range(1, 31):
            pair = pairs.at(step, 30)
            assert pair.start is not None
            assert torch.equal(pair.labels.flatten()[pair.start.places], pair.target[0])

    def test_collages_are_made_where_they_are_asked_for(self) -> None:
        assert task({"start": False}).pairs.itself.start is None


def run(
    out: Path, of: type[SemiaTask] = SemiaTask, *, resume: bool = False, **options: Any
) -> None:
    network = GeneratorConfig(num_labels=COUNT, width=4)
    settings = SemiaOptions(**TINY | {"save_every": 3, "eval_every": 6} | options)
    made = of(IMAGE, LABELS, network, settings, FAST)
    folder = RunFolder.resume(out, {}) if resume else RunFolder.start(out, {})
    engine.train(made, folder, resume=resume, say=lambda _: None)


def weights(out: Path, step: int = 6) -> bytes:
    return (out / f"checkpoints/step_{step:07d}/model.safetensors").read_bytes()


class Terminated(SemiaTask):
    """Is told to stop in its third step."""

    def step(self, batch: Pair, step: int) -> Losses:
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().step(batch, step)


class TestRun:
    def test_one_seed_gives_the_same_weights_stopped_or_not(self, tmp_path: Path) -> None:
        run(tmp_path / "one", steps=6)
        run(tmp_path / "two", steps=6)
        assert weights(tmp_path / "one") == weights(tmp_path / "two")
        with pytest.raises(Stopped, match="after step 3"):
            run(tmp_path / "stopped", Terminated, steps=6)
        run(tmp_path / "stopped", steps=6, resume=True)
        assert weights(tmp_path / "stopped") == weights(tmp_path / "one")
        assert (tmp_path / "one/metrics.jsonl").read_text() == (
            tmp_path / "stopped/metrics.jsonl"
        ).read_text()
        states = [
            load_training(tmp_path / name / "checkpoints/step_0000006")
            for name in ("one", "stopped")
        ]
        assert states[0]["trainer"].keys() == {
            "model", "ema", "discriminator", "segmenter", "optimizer", "optimizer_d",
            "optimizer_s", "scaler",
        }  # fmt: skip
        run(tmp_path / "other", steps=6, seed=1)
        assert weights(tmp_path / "other") != weights(tmp_path / "one")

    def test_numbers_and_sheets(self, tmp_path: Path) -> None:
        run(tmp_path / "run", steps=5)
        lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
        assert lines[-1]["step"] == 5
        assert lines[-1]["psnr"] > 40
        assert {"gan", "coherence", "align", "discriminator", "segmenter"} <= lines[0].keys()
        assert (tmp_path / "run/samples/step_0000005.png").is_file()
        card = (tmp_path / "run/README.md").read_text()
        assert "python -m scam.semia apply" in card

    def test_previews_are_the_targets_that_are_given(self, tmp_path: Path) -> None:
        network = GeneratorConfig(num_labels=COUNT, width=4)
        targets = [DRAWN.targets[name] for name in ("move", "remove")]
        made = SemiaTask(IMAGE, LABELS, network, SemiaOptions(**TINY), FAST, targets)
        made.sheet(made.model, 1, tmp_path / "sheet.png")
        assert (tmp_path / "sheet.png").is_file()


class TestSeconds:
    @staticmethod
    def planned(monkeypatch: pytest.MonkeyPatch, seconds: float, **options: Any) -> SemiaOptions:
        """Where a step takes 0.1 seconds and a pair 0.5."""
        monkeypatch.setattr("scam.semia.plan.seconds_of", lambda _: (0.1, 0.5))
        network = GeneratorConfig(num_labels=COUNT, width=4)
        given = SemiaOptions(discriminator_width=4, **options)
        return within_seconds(DRAWN.image, LABELS, network, given, FAST, seconds, CPU)

    def test_a_tenth_goes_to_pairs_the_rest_to_steps(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = self.planned(monkeypatch, 100)
        assert found.pairs == 20
        assert 85 < 0.1 * found.steps + 0.5 * found.pairs < 100
        assert found.save_every == found.sample_every == found.eval_every == found.steps // 5

    def test_no_more_pairs_than_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.planned(monkeypatch, 1000, pairs=30).pairs == 30

    def test_some_steps_are_made_in_any_case(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.planned(monkeypatch, 0.1).steps == 20

    def test_time_is_measured(self) -> None:
        network = GeneratorConfig(num_labels=COUNT, width=4)
        options = SemiaOptions(discriminator_width=4)
        found = within_seconds(DRAWN.image, LABELS, network, options, FAST, 2.0, CPU)
        assert 20 <= found.steps < 2000


class TestLearn:
    def test_what_is_kept_is_what_was_learned(self, tmp_path: Path) -> None:
        made = learn(
            DRAWN.image, LABELS, "network", out=tmp_path / "run", width=4, rounds=1, **TINY
        )
        opened = scam.semia.load(tmp_path / "run")
        for name in ("move", "retarget"):
            target = DRAWN.targets[name]
            found = made(target)
            assert found.dtype == torch.uint8
            assert found.shape == (3, *target.shape)
            assert torch.equal(opened(target), found)

    def test_without_a_folder(self) -> None:
        made = learn(DRAWN.image, LABELS, rounds=1)
        assert torch.equal(made(LABELS), DRAWN.image)

    def test_images_of_pil_and_arrays(self) -> None:
        rgb, ids = DRAWN.image.permute(1, 2, 0).numpy(), LABELS.numpy().astype(np.uint8)
        for image, labels in (
            (rgb, ids),
            (Image.fromarray(rgb), Image.fromarray(ids)),
            (floating(DRAWN.image), LABELS),
        ):
            made = learn(image, labels, rounds=1)
            assert torch.equal(made.image, DRAWN.image)
            assert torch.equal(made(labels), DRAWN.image)

    def test_a_smaller_size(self) -> None:
        made = learn(DRAWN.image, LABELS, size=30, rounds=1)
        assert made(LABELS).shape == (3, 24, 30)
        assert made(DRAWN.targets["retarget"]).shape == (3, 24, 40)

    def test_long_pictures_keep_their_shape(self) -> None:
        """Rows and columns are rounded by themselves."""
        labels = (torch.arange(35)[:, None] + torch.arange(333)) // 40 % 2
        image = torch.randint(256, (3, 35, 333), dtype=torch.uint8)
        made = learn(image, labels, size=160, rounds=1)
        assert torch.equal(made(labels), made.image)

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"image": DRAWN.image.float()}, r"image holds values from .*: expected \[-1, 1\]"),
            ({"labels": LABELS[1:]}, r"labels is 31x40: expected 32x40 .*, the size of the image"),
            ({"labels": torch.ones_like(LABELS)}, "labels=.*: expected two labels or more"),
            ({"labels": LABELS - 1}, r"labels=\[-1, 4\]: expected 0 to 255 at most"),
            ({"labels": LABELS.float()}, r"labels is a tensor float32 .*: expected integers"),
            ({"method": "magic"}, "method='magic': expected patches or network"),
            ({"size": 0}, "size=0: .*expected 16 pixels a side or more"),
            ({"size": 18}, "size=18: leaves 14x18 of 32x40 .*, expected 16 pixels"),
            ({"image": DRAWN.image[:, :15], "labels": LABELS[:15]}, "image: is 15x40 "),
            ({"seconds": 0.0, "method": "network"}, "seconds=0.0: expected"),
            ({"seconds": float("nan"), "method": "network"}, "seconds=nan: expected"),
            ({"seconds": 3.0}, "seconds=3.0: expected method='network' with it"),
            ({"steps": 3}, "steps=3: expected method='network' with it"),
            ({"width": 8}, "width=8: expected method='network' with it"),
            ({"steps": 3, "seconds": 3.0, "method": "network"}, "steps=3: .* with seconds"),
            ({"stepz": 3}, "stepz=3: is not a setting"),
            ({"num_labels": 3}, "num_labels=3: is not a setting"),
            ({"batch_size": 3, "method": "network"}, "batch_size=3: is not a setting"),
            ({"patch": 4}, "patch=4: expected an odd number"),
        ],
    )  # fmt: skip
    def test_what_makes_no_sense(
        self, tmp_path: Path, changes: dict[str, Any], expected: str
    ) -> None:
        given = {"image": DRAWN.image, "labels": LABELS, "method": "patches"} | changes
        with pytest.raises(InputError, match=f"^{expected}"):
            learn(**given, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_labels_that_the_source_lacks(self) -> None:
        made = learn(DRAWN.image, LABELS, rounds=1)
        for wrong in (LABELS + COUNT, LABELS - 1):
            with pytest.raises(InputError, match=r"^labels=.*: expected labels of the source"):
                made(wrong)

    @pytest.mark.parametrize("shape", [(1, 32, 40), (32,), (0, 5)])
    def test_targets_of_no_shape(self, shape: tuple[int, ...]) -> None:
        made = learn(DRAWN.image, LABELS, rounds=1)
        with pytest.raises(
            InputError, match=r"^labels is an? (empty )?tensor .*: expected integers"
        ):
            made(torch.zeros(shape, dtype=torch.int64))

    def test_targets_that_are_too_small(self) -> None:
        made = learn(DRAWN.image, LABELS, rounds=1)
        with pytest.raises(
            InputError, match=r"^labels: 15x40 .* at .* expected 16 pixels a side or more"
        ):
            made(LABELS[:15])


def test_a_folder_that_was_started_and_not_trained(tmp_path: Path) -> None:
    names = Vocabulary("index", tuple(range(COUNT)))
    start(
        tmp_path / "run",
        DRAWN.image,
        LABELS,
        names,
        "network",
        size=None,
        seconds=None,
        device=CPU,
    )
    with pytest.raises(InputError, match="there is no checkpoint yet"):
        scam.semia.load(tmp_path / "run")


@pytest.mark.parametrize("wrong", ["photo.jpg", None, [[0, 1]]])
def test_what_is_no_image_or_label_map_is_named(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"^image is .*: expected one tensor, PIL"):
        learn(wrong, LABELS)
    for refuse in (lambda: learn(DRAWN.image, wrong), lambda: learn(DRAWN.image, LABELS)(wrong)):
        with pytest.raises(InputError, match=r"^labels is .*: expected a PIL image or integers"):
            refuse()
