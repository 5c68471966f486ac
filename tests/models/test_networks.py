# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scam.errors import InputError
from scam.models import PRESETS, Discriminator, Scam, ScamConfig, Styles
from scam.models.scam import model as scam_model
from scam.models.scam.model import released_generator_sizes
from scam.models.spade import SpadeConfig
from scam.nn import pyramid
from scam.nn.modulation import ScamModulation
from scam.ops import SemanticLayout

TINY = ScamConfig(
    4, (48, 32), width=16, levels=4, latents_per_label=2, background_latents=3,
    token_dim=16, attention_dim=16,
)  # fmt: skip


def blocks(config: ScamConfig, batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A picture of flat 8x8 patches and a label map of patches."""
    generator = torch.Generator().manual_seed(seed)
    height, width = config.size
    coarse = torch.randint(
        0, config.num_labels, (batch, -(-height // 8), -(-width // 8)), generator=generator
    )
    labels = coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width]
    image = torch.rand(batch, 3, height, width, generator=generator) * 2 - 1
    return image, labels.to(torch.int32)


@pytest.mark.parametrize("fidelity", ["default", "released"])
@pytest.mark.parametrize("size", [(256, 256), (256, 170), (128, 256), (77, 101)])
def test_shapes(size: tuple[int, int], fidelity: str) -> None:
    levels = 6 if min(size) >= 128 else 4
    config = replace(TINY, size=size, levels=levels, fidelity=fidelity)
    model = Scam(config).eval()
    image, labels = blocks(config, batch=1)
    sizes: list[tuple[int, ...]] = []
    for block in model.generator.blocks:
        block.conv2.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[2:])))
    with torch.no_grad():
        latents = model.encode(image, labels)
        generated = model.generate(labels, latents)
    assert latents.tokens.shape == (1, config.num_tokens, config.token_dim)
    assert generated.shape == image.shape
    assert generated.abs().max() <= 1
    if fidelity == "default":
        assert sizes == [tuple(m.shape[1:]) for m in model.prepare(labels).maps[-2::-1]]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 256), [(4, 4), (8, 8), (16, 16), (32, 32), (64, 64), (128, 128), (256, 256)]),
        ((256, 170), [(3, 2), (6, 4), (12, 8), (24, 16), (48, 32), (96, 64), (256, 170)]),
        ((128, 256), [(2, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 128), (128, 256)]),
    ],
)
def test_released_sizes(size: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    assert released_generator_sizes(*size, 6) == expected[::-1]


@pytest.mark.parametrize("fidelity", ["default", "released"])
@pytest.mark.parametrize("heads", [1, 2])
def test_fused_and_dense_are_one_model(fidelity: str, heads: int) -> None:
    """Same state dict, same random draws, same image and gradients."""
    config = replace(TINY, fidelity=fidelity, heads=heads, size=(64, 32))
    torch.manual_seed(0)
    model = Scam(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    image, labels = blocks(config)
    labels[:, :5, :7] = -1
    found = []
    for fused in (True, False):
        twin = Scam(config, fused=fused).double()
        twin.load_state_dict(model.state_dict())
        noise = torch.Generator().manual_seed(7)
        generated = twin(image.double(), twin.prepare(labels), noise)
        generated.square().sum().backward()
        found.append((generated, {name: p.grad for name, p in twin.named_parameters()}))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-11, atol=1e-11)
    for name, dense in found[1][1].items():
        if name.endswith("to_key.bias"):  # cancels in the softmax
            continue
        torch.testing.assert_close(found[0][1][name], dense, rtol=1e-9, atol=1e-10)


def test_compiling_can_be_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Callable[..., Any]] = []

    def compiled(call: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return lambda *args, **kwargs: (calls.append(call), call(*args, **kwargs))[1]

    monkeypatch.setattr(torch, "compile", compiled)
    model, pair = Scam(TINY), blocks(TINY)
    expected = model.configure(compiled=True)(*pair)
    assert len(calls) == 2  # the encoder and the generator
    assert torch.equal(model.configure(fused=True)(*pair), expected)
    assert len(calls) == 4
    assert torch.equal(model.configure(compiled=False)(*pair), expected)
    assert len(calls) == 4


def test_layouts_as_on_a_gpu_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    image, labels = blocks(TINY)
    labels = labels.masked_fill(labels == 2, -1)
    found = []
    for always in (False, True):
        if always:
            for module in (pyramid, scam_model):
                monkeypatch.setattr(module, "grouped", SemanticLayout.build)
        torch.manual_seed(0)
        model = Scam(TINY)
        generated = model(image, labels)
        generated.square().sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        with torch.no_grad():
            again = model.generate(labels, model.encode(image, labels))
        found.append([generated, again, *gradients])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_tokens_of_absent_labels_are_left_out_and_nothing_changes() -> None:
    torch.manual_seed(0)
    model = Scam(TINY).double()
    image, labels = blocks(TINY)
    labels = labels.masked_fill(labels == 2, 0).masked_fill(labels == 3, -1)
    computed: list[int] = []
    for layer in model.encoder.cross:
        layer.register_forward_hook(lambda _m, given, _o: computed.append(given[0].shape[1]))
    found = []
    for fused in (True, False):
        model.configure(fused=fused).zero_grad()
        generated = model(image.double(), labels)
        generated.square().sum().backward()
        found.append((generated, {name: p.grad for name, p in model.named_parameters()}))
    assert set(computed[:5]) == {5}  # three of the background, two of label 1
    assert set(computed[5:]) == {TINY.num_tokens}
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-12, atol=1e-12)
    for name, dense in found[1][1].items():
        torch.testing.assert_close(found[0][1][name], dense, rtol=1e-9, atol=1e-11)
    assert not found[0][1]["encoder.tokens"][5:].any()


@pytest.mark.parametrize("fidelity", ["default", "released"])
def test_encoding_gives_every_token(fidelity: str) -> None:
    config = replace(TINY, fidelity=fidelity, size=(64, 32))
    image, labels = blocks(config)
    latents = Scam(config).encode(image, labels.clamp(max=1))
    assert latents.tokens.shape[1] == config.num_tokens
    assert latents.tokens.abs().amax(2).all()


def test_noise_only_when_asked_by_default_and_always_as_released() -> None:
    for fidelity, repeats in (("default", True), ("released", False)):
        config = replace(TINY, fidelity=fidelity, size=(64, 32))
        torch.manual_seed(0)
        model = Scam(config).eval()
        for module in model.modules():
            if isinstance(module, ScamModulation) and module.noise_scale is not None:
                nn.init.ones_(module.noise_scale)
        image, labels = blocks(config)
        latents = model.encode(image, labels)
        first, second = (model.generate(labels, latents) for _ in range(2))
        assert torch.equal(first, second) is repeats
        seeded = [
            model.generate(labels, latents, torch.Generator().manual_seed(s)) for s in (1, 1, 2)
        ]
        assert torch.equal(seeded[0], seeded[1])
        assert not torch.equal(seeded[0], seeded[2])


def test_background_pixels_do_not_reach_the_subject_without_convolutions() -> None:
    """The released encoder leaks even so: its norms and its empty rows couple the labels."""
    for fidelity, isolated in (("default", True), ("released", False)):
        config = replace(TINY, fidelity=fidelity, pyramid=False, size=(64, 32))
        torch.manual_seed(0)
        model = Scam(config)
        image, labels = blocks(config, batch=1)
        labels = labels.where(labels != 3, 0)  # label 3 is absent
        other = torch.where((labels == 0)[:, None], torch.rand_like(image), image)
        before, after = (model.encode(x, labels).tokens for x in (image, other))
        subject = torch.tensor(config.token_labels()) != 0
        assert torch.equal(before[:, subject], after[:, subject]) is isolated
        assert not torch.equal(before[:, ~subject], after[:, ~subject])


def test_unequal_background_latents_order_tokens_by_label() -> None:
    assert TINY.token_labels() == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert TINY.num_tokens == 9


def test_transfer_between_a_picture_and_itself_is_its_reconstruction() -> None:
    config = replace(TINY, size=(64, 32))
    model = Scam(config).eval()
    image, labels = blocks(config)
    again = model.generate(labels, model.encode(image, labels))
    assert torch.equal(model.transfer((image, labels), (image, labels)), again)


def test_transfer_takes_each_label_from_the_right_picture() -> None:
    config = replace(TINY, size=(64, 32))
    model = Scam(config).eval()
    subject, scene = (model.encode(*blocks(config, batch=1, seed=s)) for s in (1, 2))
    mixed = model.mix(subject, scene, scene.present, background_labels=[0, 2])
    for index, label in enumerate(config.token_labels()):
        source = scene if label in (0, 2) else subject
        assert torch.equal(mixed.tokens[:, index], source.tokens[:, index])


class TestAbsentLabels:
    """The subject lacks label 1, the scene label 2; the map wants both."""

    @pytest.fixture
    def parts(self) -> tuple[Scam, Styles, Styles, Tensor]:
        model = Scam(TINY)
        torch.nn.init.normal_(model.mean_tokens)
        tokens = torch.randn(2, 1, TINY.num_tokens, TINY.token_dim)
        subject = Styles(tokens[0], torch.tensor([[True, False, True, True]]))
        scene = Styles(tokens[1], torch.tensor([[True, True, False, True]]))
        return model, subject, scene, torch.ones(1, 4, dtype=torch.bool)

    def test_background(self, parts: tuple[Scam, Styles, Styles, Tensor]) -> None:
        model, subject, scene, wanted = parts
        mixed = model.mix(subject, scene, wanted)
        assert torch.equal(mixed.tokens[:, 3:5], scene.tokens[:, 3:5])
        assert torch.equal(mixed.tokens[:, 5:], subject.tokens[:, 5:])

    def test_mean(self, parts: tuple[Scam, Styles, Styles, Tensor]) -> None:
        model, subject, scene, wanted = parts
        blind = Styles(scene.tokens, torch.tensor([[True, False, False, True]]))
        with pytest.raises(InputError, match="mean styles lack label 1, which the map needs"):
            model.mix(subject, blind, wanted, absent="mean")
        model.mean_known[:] = True
        mixed = model.mix(subject, scene, wanted, absent="mean", background_labels=[0, 2])
        assert torch.equal(mixed.tokens[0, 3:7], model.mean_tokens[3:7])

    def test_error(self, parts: tuple[Scam, Styles, Styles, Tensor]) -> None:
        model, subject, scene, wanted = parts
        for arguments, message in (
            ({"absent": "error"}, "the subject's image lacks label 1"),
            ({"background_labels": [0, 2]}, "the background image lacks label 2"),
            ({"absent": "guess"}, "absent='guess': expected related, background, mean or error"),
            (
                {"background_labels": [4]},
                "background_labels: label 4: .*or 0 to 3",
            ),
        ):
            with pytest.raises(InputError, match=message):
                model.mix(subject, scene, wanted, **arguments)


class TestDiscriminator:
    @pytest.mark.parametrize(
        ("size", "expected"),
        [((256, 256), [(35, 35), (19, 19)]), ((256, 170), [(35, 25), (19, 14)])],
    )
    def test_logit_sizes(self, size: tuple[int, int], expected: list[tuple[int, int]]) -> None:
        config = replace(TINY, size=size)
        image, labels = blocks(config, batch=1)
        critic = Discriminator(config.num_labels, config.width)
        logits = critic(image, critic.label_maps(labels))
        assert [tuple(x.shape[2:]) for x in logits] == expected

    @pytest.mark.parametrize("fidelity", ["default", "released"])
    def test_normalised_logits_stay_below_one_and_finite(self, fidelity: str) -> None:
        config = replace(TINY, fidelity=fidelity, size=(64, 32))
        image, labels = blocks(config)
        critic = Discriminator(config.num_labels, config.width, released=config.released)
        maps = critic.label_maps(labels)
        for scale in (1.0, 1e4, 0.0):
            with torch.no_grad():
                for parameter in critic.parameters():
                    parameter.mul_(scale)
            image = image.detach().requires_grad_()
            logits = critic(image, maps)
            torch.stack([x.mean() for x in logits]).sum().backward()
            assert all(x.abs().max() <= 1 for x in logits)
            assert image.grad is not None
            assert image.grad.isfinite().all()
            assert all(p.grad is None or p.grad.isfinite().all() for p in critic.parameters())

    @pytest.mark.parametrize("fidelity", ["default", "released"])
    def test_normalisation_against_finite_differences(self, fidelity: str) -> None:
        """||d f / d input|| by nudging the picture, and the label planes as released."""
        config = replace(TINY, fidelity=fidelity, size=(64, 32))
        image, labels = blocks(config, batch=1)
        critic = Discriminator(
            config.num_labels, config.width, released=config.released, gradient_norm=False
        ).double()
        maps = critic.label_maps(labels)
        raw = critic(image.double(), maps)[0]
        critic.gradient_norm = True
        normalised = critic(image.double(), maps)[0]
        implied = (raw / normalised - raw.abs()).detach()
        assert (implied - implied.mean()).abs().max() < 1e-6 * implied.mean()
        direction = torch.randn_like(image.double())
        critic.gradient_norm = False
        step = 1e-5
        ahead, behind = (
            critic(image.double() + sign * step * direction, maps)[0] for sign in (1, -1)
        )
        reduce = torch.sum if fidelity == "released" else torch.mean
        slope = (reduce(ahead) - reduce(behind)) / (2 * step)
        assert slope.abs() <= implied.mean() * direction.norm() * (1 + 1e-6)
        assert implied.mean() > 0


class TestConfig:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_labels": 0}, "num_labels=0"),
            ({"latents_per_label": 0}, "latents_per_label=0"),
            ({"width": 20}, "width=20: expected a multiple of 16"),
            ({"levels": 3}, "levels=3: expected at least 4"),
            ({"fidelity": "exact"}, "fidelity='exact'"),
            ({"size": (8, 64)}, r"size=\[8, 64\]"),
            ({"size": (16, 16)}, "levels=4: halves 16x16 .* down to one pixel"),
            ({"size": (64,)}, r"size=\[64\]: expected a list of 2"),
            ({"token_dim": 0}, "token_dim=0"),
            ({"fidelity": "released", "size": (16, 64)}, "at least 32 pixels"),
            ({"heads": 3}, "heads=3: expected a divisor of attention_dim=16"),
        ],
    )
    def test_bad_values(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(InputError, match=message):
            replace(TINY, **changes)

    def test_round_trip(self) -> None:
        for config in PRESETS.values():
            assert ScamConfig.from_dict(config.as_dict()) == config

    def test_unknown_entries_and_presets(self) -> None:
        with pytest.raises(InputError, match="'colour' is not one of"):
            ScamConfig.from_dict({**TINY.as_dict(), "colour": 1})
        without = {k: v for k, v in TINY.as_dict().items() if k != "size"}
        for broken, words in (
            (without, "size is missing"),
            ({**TINY.as_dict(), "width": "wide"}, "width='wide': expected an integer"),
        ):
            with pytest.raises(InputError, match=f"model config: {words}"):
                ScamConfig.from_dict(broken)
        with pytest.raises(InputError, match="preset='huge': expected one of tiny"):
            ScamConfig.preset("huge")

    def test_paper_presets(self) -> None:
        assert {name: c.num_tokens for name, c in PRESETS.items()} == {
            "tiny": 24, "idesigner": 24, "celebamask-hq": 152, "ade20k": 1208,
        }  # fmt: skip


def test_the_encoder_of_sean_in_place_of_ours() -> None:
    torch.manual_seed(0)
    config = ScamConfig(3, (32, 32), width=16, levels=4, encoder="sean", token_dim=8)
    model = Scam(config).double()
    image = torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1
    labels = torch.randint(-1, 2, (2, 32, 32))  # label 2 is absent
    fused, styles = model(image, labels), model.encode(image, labels)
    assert styles.tokens.shape == (2, 24, 8)
    assert styles.tokens[:, 16:].abs().sum() == 0
    dense = model.configure(fused=False)(image, labels)
    torch.testing.assert_close(fused, dense, rtol=0, atol=1e-9)
    wrong = {"pyramid": False}, {"self_attention": False}, {"background_latents": 4}
    for changes in wrong:
        with pytest.raises(InputError, match=r"encoder"):
            replace(config, **changes)


@pytest.mark.parametrize("wrong", [{"size": (32, 32)}, "tiny", None, SpadeConfig.preset("tiny")])
def test_a_model_wants_a_config_of_its_own(wrong: Any) -> None:
    expected = (
        r"^config is .*: expected a ScamConfig, as .* or ScamConfig\.preset\('tiny'\) makes$"
    )
    with pytest.raises(InputError, match=expected):
        Scam(wrong)
    with pytest.raises(InputError, match=expected):
        Scam(config=wrong)
