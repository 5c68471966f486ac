# SPDX-License-Identifier: Apache-2.0
"""Options for few pictures, in the trainer: each learns, repeats itself, and resumes."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor

from scam.data import Mannequins, PairDataset, batches
from scam.errors import InputError
from scam.synthesis import adversary
from scam.synthesis.augment import KINDS, Augmentation
from scam.synthesis.losses import hinge_discriminator, hinge_generator
from scam.synthesis.options import SynthesisOptions
from scam.training.randomness import picture_generators
from scam.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
CPU = torch.device("cpu")
GENERATORS = partial(picture_generators, 0, 1, range(2))

OPTIONS: dict[str, tuple[dict[str, object], set[str]]] = {
    "diffaugment": ({"diffaugment": "color,translation,cutout"}, set()),
    "lecam": ({"lecam": 0.3}, {"lecam"}),
    "oasis": ({"discriminator": "oasis", "labelmix": 10.0}, {"labelmix"}),
    "oasis_r1": ({"discriminator": "oasis", "r1": 0.1}, {"r1"}),
    "oasis_augmented": ({"discriminator": "oasis", "diffaugment": "translation,cutout"}, set()),
    "relativistic": (
        {"gan_loss": "relativistic", "gradient_norm": False, "r1": 0.1, "r2": 0.1},
        {"r1", "r2"},
    ),
    "patch": ({"discriminator": "patch", "feature_matching": 10.0}, {"feature_matching"}),
    "patch_r1": ({"discriminator": "patch", "r1": 0.1, "fresh_fake": True}, {"r1"}),
    "sean": (
        {
            "discriminator": "sean",
            "feature_matching": 10.0,
            "feature_matching_maps": "last",
            "fresh_fake": True,
            "diffaugment": "translation",
        },
        {"feature_matching"},
    ),
    "fresh_fake": ({"fresh_fake": True, "style_dropout": 0.3}, set()),
    "style_dropout": ({"style_dropout": 0.3}, set()),
    "augment_perceptual": ({"augment_perceptual": "color,translation,cutout"}, set()),
}
each_option = pytest.mark.parametrize("name", OPTIONS)


def batch(count: int, step: int = 0) -> tuple[Tensor, Tensor]:
    dataset = PairDataset(Mannequins("train", 16), (32, 32))
    found = next(batches(dataset, count, seed=0, start_step=step))
    return found["image"], found["labels"]


def tensors(state: object, prefix: str = "") -> dict[str, Tensor]:
    if isinstance(state, Tensor):
        return {prefix: state}
    entries = state.items() if isinstance(state, dict) else enumerate(state or ())
    nested = ((k, v) for k, v in entries if isinstance(v, Tensor | dict | list))
    return {k: v for key, value in nested for k, v in tensors(value, f"{prefix}/{key}").items()}


def copied(trainer: Trainer) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in tensors(trainer.state_dict()).items()}


def run(trainer: Trainer, steps: range) -> list[dict[str, float]]:
    return [{k: float(v) for k, v in trainer.step(batch(2, s), s).items()} for s in steps]


@pytest.fixture(scope="module")
def plain_losses(make_trainer: MakeTrainer) -> list[dict[str, float]]:
    return run(make_trainer(), range(1, 4))


@each_option
def test_three_steps(
    make_trainer: MakeTrainer, name: str, plain_losses: list[dict[str, float]]
) -> None:
    """Finite, every network moves, not as without the option; and resumed after two, the same."""
    options, terms = OPTIONS[name]
    trainer, later = make_trainer(**options), make_trainer(**options)
    start = copied(trainer)
    losses = run(trainer, range(1, 3))
    later.load_state_dict(deepcopy(trainer.state_dict()))
    losses += run(trainer, range(3, 4))
    assert all(abs(x) < 1e3 for found in losses for x in found.values())
    assert (
        losses[0].keys()
        == {"l1", "perceptual", "gan", "discriminator", "skipped", "grad_norm"} | terms
    )
    assert losses[2]["skipped"] == 0
    assert all(losses[2][term] > 0 for term in terms)
    assert losses[2]["gan"] != plain_losses[2]["gan"]
    ended = copied(trainer)
    for part in ("/model", "/discriminator"):
        moved = [not torch.equal(start[k], v) for k, v in ended.items() if k.startswith(part)]
        assert sum(moved) > len(moved) / 2
    torch.rand(3)  # global random state must not matter
    assert run(later, range(3, 4)) == losses[2:]
    assert ended.keys() == copied(later).keys()
    assert all(torch.equal(ended[k], v) for k, v in copied(later).items())


@each_option
def test_accumulated_batches_have_the_losses_of_one_large_batch(
    make_trainer: MakeTrainer, name: str
) -> None:
    """What belongs to a picture is its own; what averages does so over the whole batch."""
    options, _ = OPTIONS[name]
    image, labels = batch(4)
    whole = make_trainer(**options, batch_size=4).step((image, labels), 1)
    parts = make_trainer(**options, batch_size=2, accumulate=2).step((image, labels), 1)
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("discriminator", ["scam", "oasis", "patch"])
def test_a_picture_compared_with_itself_has_no_slope(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, discriminator: str
) -> None:
    """Spectral norms would be refined between the two passes."""
    monkeypatch.setattr(adversary, "_noise", lambda like, *_: torch.zeros_like(like))
    trainer = make_trainer(discriminator=discriminator, r1=0.1, r2=0.1)
    for step in (1, 2):
        losses = trainer.step(batch(2), step)
        # patch: real and generated go through it together, one of them alone rounds differently.
        most = 1e-6 if discriminator == "patch" else 0
        assert max(losses["r1"], losses["r2"]) <= most


def test_spectral_norms_are_refined_once_a_step(make_trainer: MakeTrainer) -> None:
    image, labels = batch(4)
    whole = make_trainer(discriminator="oasis", labelmix=10.0, batch_size=4)
    parts = make_trainer(discriminator="oasis", labelmix=10.0, batch_size=2, accumulate=2)
    before = {name: x.clone() for name, x in whole.learner.discriminator.named_buffers()}
    for trainer in (whole, parts):
        trainer.step((image, labels), 1)
    after = dict(parts.learner.discriminator.named_buffers())
    for name, x in whole.learner.discriminator.named_buffers():
        assert torch.equal(x, after[name]), name
    assert any(not torch.equal(x, after[name]) for name, x in before.items())


def test_without_options_a_step_is_the_plain_one(make_trainer: MakeTrainer) -> None:
    """Written out: bit for bit, so that no option leaves a trace where it is off."""
    image, labels = batch(2)
    trainer, plain = make_trainer(), make_trainer()
    trainer.step((image, labels), 1)
    plain.learner.model.train()
    maps = plain.learner.discriminator.label_maps(labels)
    plain.learner.discriminator.requires_grad_(False)
    networks = plain.learner
    fake = networks.model(image, networks.model.prepare(labels), GENERATORS("noise", CPU))
    l1, perceptual = (fake - image).abs().mean(), networks.perceptual(fake, image)
    gan = hinge_generator(networks.discriminator(fake, maps))
    torch.stack([10.0 * l1, 10.0 * perceptual, 1.0 * gan]).sum().backward()
    generation, discrimination = (x.optimizer for x in plain.learner.optimisations.values())
    for group in generation.param_groups + discrimination.param_groups:
        group["lr"] = 1e-3 / 100  # the first of 100 steps of warm-up
    torch.nn.utils.clip_grad_norm_(plain.learner.model.parameters(), 1.0)
    generation.step()
    plain.learner.discriminator.requires_grad_(True)
    real, generated = (networks.discriminator(x, maps) for x in (image, fake.detach()))
    hinge_discriminator(real, generated).backward()
    torch.nn.utils.clip_grad_norm_(plain.learner.discriminator.parameters(), 1.0)
    discrimination.step()
    plain.average.update()
    expected = copied(plain)
    assert copied(trainer).keys() == expected.keys()
    for name, value in copied(trainer).items():
        assert torch.equal(value, expected[name]), name
    assert trainer.state_dict()["adversary"] == {}


def test_lecam_begins_with_the_second_step(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(lecam=0.3)
    losses = run(trainer, range(1, 4))
    assert [found["lecam"] > 0 for found in losses] == [False, True, True]
    assert float(trainer.state_dict()["adversary"]["steps"]) == 3


def test_discriminator_sees_pictures_and_label_maps_augmented_alike(
    make_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = make_trainer(diffaugment="color,translation,cutout")
    image, labels = batch(2)
    seen = []
    original = trainer.learner.discriminator.forward

    def look(image: Tensor, maps: tuple[Tensor, ...]) -> list[Tensor]:
        seen.append((image.detach(), *maps))
        return original(image, maps)

    monkeypatch.setattr(trainer.learner.discriminator, "forward", look)
    trainer.step((image, labels), 1)
    drawn = Augmentation.draw(KINDS, GENERATORS("diffaugment", CPU))
    assert len(seen) == 3  # generated; then real and generated
    assert torch.equal(seen[1][0], drawn.pictures(image))
    for _, full, half in seen:
        assert torch.equal(full, drawn.labels(labels))
        assert half.shape == (2, 16, 16)
    assert not torch.equal(drawn.labels(labels), labels)


def test_labels_are_weighed_as_they_are_shown(make_trainer: MakeTrainer) -> None:
    """Half of a picture may be cut out: what is left keeps its weight."""
    adversary = make_trainer(
        discriminator="oasis", diffaugment="translation,cutout"
    ).learner.adversary
    image, labels = batch(2)
    adversary.begin(labels, GENERATORS)
    shown = adversary.batch(image, labels, GENERATORS)
    ignored = shown.maps[0] < 0
    assert int(ignored.sum()) > 0.15 * ignored.numel()
    uniform = torch.zeros(2, 12, 32, 32)
    logits = iter([uniform, uniform])
    adversary.discriminator.forward = lambda *_: [next(logits)]
    terms = adversary.discriminator_losses(image, shown)
    torch.testing.assert_close(terms["discriminator"][1], 2 * torch.tensor(12.0).log())


def test_labels_dropped_are_generated_from_latents_of_zero(make_trainer: MakeTrainer) -> None:
    model = make_trainer().learner.model.eval()
    image, labels = batch(2)
    pyramid = model.prepare(labels)
    everything = torch.ones(2, 11, dtype=torch.bool)
    assert torch.equal(model(image, pyramid, None, everything), model(image, pyramid))
    nothing = model(image, pyramid, None, ~everything)
    other = model(image.flip(0), pyramid, None, ~everything)
    assert torch.equal(nothing, other), "nothing of the image is left"
    latents = model.encode(image, labels)
    kept = everything.clone()
    kept[:, 2] = False
    latents.tokens[:, model.token_labels == 2] = 0
    torch.testing.assert_close(
        model(image, pyramid, None, kept), model.generate(labels, latents), rtol=1e-4, atol=1e-5
    )


def test_oasis_learns_to_tell_labels_and_generated_pixels(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(discriminator="oasis", labelmix=1.0)
    image, labels = batch(2)
    shown = trainer.learner.adversary.batch(image, labels, GENERATORS)
    generated = image.roll(1, 0) * torch.rand_like(image)
    optimizer = torch.optim.Adam(trainer.learner.discriminator.parameters(), lr=5e-4)
    trainer.learner.adversary.begin(labels, GENERATORS)
    found = []
    for _ in range(20):
        terms = trainer.learner.adversary.discriminator_losses(generated, shown)
        optimizer.zero_grad()
        torch.stack([weight * loss for weight, loss in terms.values()]).sum().backward()
        optimizer.step()
        found.append(terms["discriminator"][1].item())
    assert found[-1] < 0.7 * found[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"discriminator": "unet"}, "discriminator='unet': expected scam, oasis, patch or sean"),
        ({"gan_loss": "wgan"}, "gan_loss='wgan': expected hinge or relativistic"),
        ({"lecam": -1.0}, r"lecam=-1\.0: expected at least 0"),
        ({"r1": float("nan")}, "r1=nan: expected a finite number, at least 0"),
        ({"style_dropout": 1.0}, r"style_dropout=1\.0: expected at least 0 and below 1"),
        ({"labelmix": 10.0}, r"labelmix=10\.0: expected together with discriminator='oasis'"),
        (
            {"lecam": 0.3, "discriminator": "oasis"},
            r"lecam=0\.3: expected together with discriminator='scam'",
        ),
        (
            {"gan_loss": "relativistic", "discriminator": "oasis"},
            "gan_loss='relativistic': expected together with discriminator='scam'",
        ),
        (
            {"gradient_norm": False, "discriminator": "oasis"},
            "gradient_norm=False: expected together with discriminator='scam'",
        ),
        ({"diffaugment": "flip"}, "diffaugment='flip': expected some of color,"),
        ({"augment_perceptual": "colour"}, "augment_perceptual='colour': expected some of color,"),
        ({"gan": 0.0, "r2": 1.0}, r"r2=1\.0: expected a discriminator, not gan=0"),
        (
            {"augment_perceptual": "cutout", "perceptual": "none"},
            "augment_perceptual='cutout': expected a loss to augment, not perceptual='none'",
        ),
        (
            {"augment_perceptual": "cutout", "perceptual_weight": 0.0},
            "augment_perceptual='cutout': expected a loss to augment, not perceptual_weight=0",
        ),
        (
            {"lecam": 0.3, "gan_from": 9, "steps": 9},
            r"lecam=0\.3: expected a discriminator that joins in before the last step, "
            "not gan_from=9 of steps=9",
        ),
        ({"perceptual": "vgg16"}, "perceptual='vgg16': expected vgg19, lpips, pyramid or none"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        SynthesisOptions(**options)
    assert "\n" not in str(caught.value)
