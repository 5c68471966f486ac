# SPDX-License-Identifier: Apache-2.0
"""SPADE, CLADE, SEAN, SEAN-CLADE, INADE: networks of the stated sizes, fused as dense."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from scam.errors import InputError
from scam.models import MODELS, SynthesisModel
from scam.models import sean as sean_module
from scam.models import spade as spade_module
from scam.models.residual import ResidualModel
from scam.models.variational import VariationalModel, divergence
from scam.nn.spectral import SpectralConv2d

KINDS = ("spade", "clade", "sean", "sean-clade", "inade")
LABELS = 5
PORTRAIT = (40, 26)

# spec: parameters of generator and encoder; those of 3 labels are at 256x170 where that counts.
COUNTS = {
    "spade": {3: 102_557_635, 19: 109_205_443, 151: 111_942_595},
    "clade": {3: 77_321_923, 19: 83_988_163, 151: 86_877_379},
    "sean": {3: 201_822_119, 19: 265_338_791, 151: 789_351_335},
    "sean-clade": {3: 176_586_407, 19: 240_121_511, 151: 764_286_119},
    "inade": {3: 78_098_947, 19: 85_115_395, 151: 90_893_827},
}
ENCODERS = {
    "spade": (10_463_424, 10_465_408),
    "clade": (10_463_424, 10_465_408),
    "sean": (1_568_576, 1_568_576),
    "sean-clade": (1_568_576, 1_568_576),
    "inade": (3_689_856, 3_689_856),
}


def tiny(kind: str, size: tuple[int, int] = PORTRAIT, **changes: Any) -> SynthesisModel:
    torch.manual_seed(0)
    settings = {"width": 4, "levels": 3, "token_dim": 8, **changes}
    model: Any = MODELS[kind]
    made: SynthesisModel = model(MODELS[kind].Config(num_labels=LABELS, size=size, **settings))
    with torch.no_grad():
        for parameter in made.parameters():  # off the small weights and zeros of the beginning
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def pictures(size: tuple[int, int] = PORTRAIT, batch: int = 2) -> tuple[Tensor, Tensor]:
    """Images and maps with an absent label, ignored pixels, a pixel of its own, noise."""
    source = torch.Generator().manual_seed(1)
    labels = torch.zeros(batch, *size, dtype=torch.long)
    labels[:, size[0] // 3 :, 5:20] = 1
    labels[0, :8, :8] = torch.randint(-1, 3, (8, 8), generator=source)
    labels[1, 2, 2] = 4
    return torch.rand(batch, 3, *size, generator=source) * 2 - 1, labels


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fidelity", ["paper", "matched", "released"])
def test_counts(kind: str, fidelity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Power iterations change no shape, and take seconds without a device.
    norm = torch.nn.utils.parametrizations._SpectralNorm
    monkeypatch.setattr(norm, "_power_method", lambda *_: None)
    for num_labels, generator in COUNTS[kind].items():
        size = (256, 170) if num_labels == 3 else (256, 256)
        config = MODELS[kind].Config(num_labels=num_labels, size=size, fidelity=fidelity)
        build: Any = MODELS[kind]
        with torch.device("meta"):
            model = build(config)
        assert count(model.encoder) == ENCODERS[kind][fidelity == "released"]
        assert count(model) - count(model.encoder) == generator


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fidelity", ["matched", "released"])
@pytest.mark.parametrize("size", [PORTRAIT, (24, 41), (8, 8)])
@pytest.mark.parametrize("patches", ["where cheaper", "always"])
def test_fused_is_dense(
    kind: str,
    fidelity: str,
    size: tuple[int, int],
    patches: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if patches == "always":
        monkeypatch.setattr(spade_module, "fewer_by_patch", lambda *_: True)
        monkeypatch.setattr(sean_module, "fewer_by_patch", lambda *_: True)
    fused = tiny(kind, size, fidelity=fidelity).double().train()
    dense = copy.deepcopy(fused).configure(fused=False)
    image, labels = pictures(size)
    image = image.double()
    found = []
    for model in (fused, dense):
        made = model.reconstruct(image, labels, noise())
        loss = made.image.square().mean() + sum(w * value for w, value in made.losses.values())
        parameters = dict(model.named_parameters())
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        unread = {name for name, g in zip(parameters, gradients, strict=True) if g is None}
        assert all(name.endswith("blend") for name in unread)  # of SEAN's last block
        found.append([made.image, *(g for g in gradients if g is not None)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_sixteen_bits(kind: str) -> None:
    """Under autocast and as such, fused and dense, where float32 is."""
    model = tiny(kind).train()
    image, labels = pictures()
    for fused in (True, False):
        model.configure(fused=fused)
        exact = model(image, labels, noise())
        with torch.autocast("cpu", torch.bfloat16):
            made = model.reconstruct(image, labels, noise())
        made.image.float().square().mean().backward()
        # Batch norms of a few pixels enlarge what rounding did before them.
        assert (made.image - exact).abs().mean() < 0.05
    low = copy.deepcopy(model).bfloat16().eval().configure(fused=True)
    with torch.no_grad():
        styles = low.encode(image.bfloat16(), labels)
        assert low.generate(labels, styles, low.fixed_noise()).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_renaming_labels_changes_nothing(kind: str) -> None:
    """Tables, label planes and styles follow; a label that no map has keeps out of it."""
    order = torch.tensor([2, 0, 4, 1, 3])
    model = tiny(kind).double().eval()
    renamed = copy.deepcopy(model)
    with torch.no_grad():
        for own, parameter in zip(model.parameters(), renamed.parameters(), strict=True):
            for axis in (0, 1):  # tables and linear layers, label planes and pairs of tables
                if parameter.dim() > axis and parameter.shape[axis] == LABELS:
                    parameter.copy_(own.index_select(axis, order.argsort()))
    image, labels = pictures()
    other = torch.where(labels >= 0, order[labels.clamp(min=0)], -1)
    styles, again = (m.encode(image.double(), x) for m, x in ((model, labels), (renamed, other)))
    if model.styles_per_label:
        torch.testing.assert_close(again.tokens[:, order], styles.tokens, rtol=0, atol=1e-12)
    c = model.generate(labels, styles, noise(2))
    d = renamed.generate(other, again, noise(2))
    torch.testing.assert_close(c, d, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fidelity", ["matched", "released"])
def test_evaluation_repeats_itself(kind: str, fidelity: str) -> None:
    model = tiny(kind, fidelity=fidelity).eval()
    image, labels = pictures()
    assert model.needs_noise == (kind == "inade")
    with torch.no_grad():
        made = [
            model.generate(labels, model.encode(image, labels), model.fixed_noise(3))
            for _ in range(2)
        ]
        assert torch.equal(*made)
        assert made[0].shape == image.shape
        assert made[0].abs().max() <= 1
        alone = model.generate(
            labels[1:], model.encode(image[1:], labels[1:]), model.fixed_noise(3)
        )
    if not model.needs_noise:  # batch norm uses running statistics
        torch.testing.assert_close(alone, made[0][1:])


@pytest.mark.parametrize("kind", KINDS)
def test_styles_of_one_or_many(kind: str) -> None:
    model = tiny(kind).eval()
    image, labels = pictures()
    with torch.no_grad():
        styles = model.encode(image, labels)
        one = model.generate(labels, styles[0], model.fixed_noise())
        each = model.generate(labels, styles[[0, 0]], model.fixed_noise())
    torch.testing.assert_close(one, each)
    whole = kind in ("spade", "clade")
    assert model.styles_per_label != whole
    assert styles.tokens.shape == (2, 1 if whole else LABELS, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_transfer_follows_the_subject(kind: str) -> None:
    model = tiny(kind).eval()
    image, labels = pictures()
    subject, background = (image[:1], labels[:1]), (image[1:], labels[1:])
    torch.manual_seed(5)
    moved = model.transfer(subject, background, absent="background")
    torch.manual_seed(5)
    own = model.transfer(background, background)
    assert moved.shape == (1, 3, *PORTRAIT)
    assert not torch.equal(moved, own)


@pytest.mark.parametrize("kind", ["spade", "clade", "inade"])
def test_random_styles(kind: str) -> None:
    model = tiny(kind).eval()
    assert model.draws_styles
    _, labels = pictures()
    a, b = (model.random_styles(labels, noise(seed)) for seed in (0, 1))
    assert not torch.equal(a.tokens, b.tokens)
    assert model.generate(labels, a, model.fixed_noise()).isfinite().all()


def test_sean_draws_none() -> None:
    model = tiny("sean")
    with pytest.raises(InputError, match="a model of kind 'sean' draws no styles"):
        model.random_styles(pictures()[1], noise())


def test_divergence_is_of_an_image_whatever_the_batch() -> None:
    mean, log_variance = torch.randn(1, 2, 8), torch.randn(1, 2, 8)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    wanted = torch.distributions.kl_divergence(posterior, prior).sum()
    for batch in (1, 4):
        found = divergence(mean.expand(batch, -1, -1), log_variance.expand(batch, -1, -1))
        torch.testing.assert_close(found, wanted)
    zeros = torch.zeros(3, 5)
    assert divergence(zeros, zeros) == 0


def test_codes_of_labels_that_an_image_lacks_diverge_by_nothing() -> None:
    model = tiny("inade")
    assert isinstance(model, VariationalModel)
    image, labels = pictures()
    mean, log_variance = model._moments(image, model.prepare(labels))
    present = model.encode(image, labels).present
    assert not present.all()
    assert mean[~present].abs().sum() == log_variance[~present].abs().sum() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_training_adds_noise_and_evaluation_does_not(kind: str) -> None:
    model = tiny(kind)
    image, labels = pictures()
    a, b = (model(image, labels, noise(seed)) for seed in (0, 1))
    if kind == "sean-clade" or kind == "sean":
        # The scales of its noise begin at 0; here they are moved off it.
        assert not torch.equal(a, b)
    assert not torch.equal(a, model(image, labels, None)) or kind in ("sean", "sean-clade")
    losses = model.reconstruct(image, labels, noise()).losses
    assert set(losses) == (set() if "sean" in kind else {"kl"})


@pytest.mark.parametrize("kind", KINDS)
def test_running_statistics_rest_in_evaluation(kind: str) -> None:
    model = tiny(kind).eval()
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model(*pictures(), noise())
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_released_networks_apply_the_activation_twice_and_normalise_as_copied() -> None:
    for kind in KINDS:
        models = [tiny(kind, fidelity=f) for f in ("paper", "matched", "released")]
        slopes = [m.generator.slope for m in models]  # type: ignore[union-attr]
        assert slopes == pytest.approx([0.2, 0.2, 0.2 if "sean" in kind else 0.04])
        batch = ["running_var" in "".join(m.state_dict()) for m in models]
        assert batch == [True, True, kind != "inade"]


@pytest.mark.parametrize("fidelity", ["paper", "released"])
def test_initial_weights(fidelity: str) -> None:
    build: Any = MODELS["spade"]
    model = build(MODELS["spade"].Config(num_labels=3, size=(64, 64), fidelity=fidelity, width=32))
    conv = model.generator.blocks[0].conv_0
    assert isinstance(conv, SpectralConv2d)
    raw = conv.parametrizations.weight.original
    fan = raw[0].numel()
    default, xavier = (1 / (3 * fan)) ** 0.5, 0.02 * (2 / (2 * fan)) ** 0.5
    assert float(raw.detach().std()) == pytest.approx(
        xavier if fidelity == "released" else default, rel=0.02
    )
    assert bool(conv.bias.any()) == (fidelity == "released")
    rgb = model.generator.to_rgb.weight
    expected = 0.02 * (2 / (9 * (32 + 3))) ** 0.5
    assert float(rgb.detach().std()) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("size", "levels", "sizes"),
    [
        ((256, 256), 5, [(8, 8), (16, 16), (16, 16), (32, 32), (64, 64), (128, 128), (256, 256)]),
        ((256, 170), 5, [(8, 5), (16, 10), (16, 10), (32, 20), (64, 40), (128, 80), (256, 170)]),
        ((128, 256), 5, [(4, 8), (8, 16), (8, 16), (16, 32), (32, 64), (64, 128), (128, 256)]),
        ((96, 64), 4, [(6, 4), (12, 8), (12, 8), (24, 16), (48, 32), (96, 64)]),
    ],
)
def test_sizes_of_the_blocks(
    size: tuple[int, int], levels: int, sizes: list[tuple[int, int]]
) -> None:
    config: Any = MODELS["spade"].Config(num_labels=3, size=size, levels=levels)
    assert config.sizes == sizes
    released: Any = MODELS["spade"].Config(
        num_labels=3, size=size, levels=levels, fidelity="released"
    )
    doubled = [(2 * h, 2 * w) for h, w in sizes[-2:-1]]
    assert released.sizes == [*sizes[:-1], *doubled]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(256, 256), (256, 170), (96, 128), (96, 64)])
def test_every_size(kind: str, size: tuple[int, int]) -> None:
    model = tiny(kind, size, levels=5)
    image, labels = pictures(size, batch=2)
    made = model.reconstruct(image, labels, noise())
    assert made.image.shape == image.shape
    assert made.image.isfinite().all()


def test_wrong_settings() -> None:
    with pytest.raises(InputError, match=r"levels=7: halves 96x64 .* down to nothing, .* most 6"):
        MODELS["spade"].Config(num_labels=3, size=(96, 64), levels=7)
    with pytest.raises(InputError, match="fidelity='default': expected"):
        MODELS["clade"].Config(num_labels=3, size=(96, 64), fidelity="default")
    with pytest.raises(InputError, match="token_dim=7"):
        MODELS["inade"].Config(num_labels=3, size=(96, 64), token_dim=7)


def test_label_maps_prepared_for_another_model_are_refused() -> None:
    spade, other = tiny("spade"), tiny("spade", levels=2)
    image, labels = pictures()
    assert isinstance(spade, ResidualModel)
    with pytest.raises(InputError, match="labels"):
        spade.encode(image, other.prepare(labels))
