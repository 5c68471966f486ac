# SPDX-License-Identifier: Apache-2.0
"""Every form of an attention computes the same; the cost model picks one by arithmetic alone."""

import pytest
import torch
from torch import Tensor, nn

from scam.nn import ScamModulation, SemanticCrossAttention, attention, cost, modulation

FORMS = ("projected", "absorbed_queries", "absorbed_keys")


def relative(actual: Tensor, exact: Tensor) -> float:
    return float((actual - exact).abs().max() / exact.abs().max().clamp(min=1e-30))


def grads_of(out: Tensor, *sources: Tensor) -> list[Tensor]:
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return list(torch.autograd.grad((out * weight).sum(), sources))


def inputs(pixels: int, tokens: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels of labels -1..3, tokens of labels 0, 1, 2, 5: each has what the other lacks."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, pixels, 12, generator=random, dtype=torch.float64, requires_grad=True)
    z = torch.randn(2, tokens, 20, generator=random, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(-1, 4, (2, pixels), generator=random)
    return x, z, labels, torch.tensor([0, 1, 2, 5]).repeat_interleave(tokens // 4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("empty", ["zero", "uniform"])
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("down", [True, False])
def test_every_form_of_attention_equals_the_dense_one(
    form: str, empty: str, heads: int, down: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "cheapest", lambda *_, **__: form)
    torch.manual_seed(0)
    x, z, x_labels, z_labels = inputs(90, 16)
    widths, arguments = ((20, 12), (z, x, z_labels, x_labels))
    if not down:
        widths, arguments = ((12, 20), (x, z, x_labels, z_labels))
    module = SemanticCrossAttention(*widths, attention_dim=16, heads=heads, empty=empty).double()
    sources = (x, z, *module.parameters())
    found = []
    for module.fused in (True, False):
        out = module(*arguments)
        found.append([out, *grads_of(out, *sources)])
    for actual, exact in zip(*found, strict=True):
        assert relative(actual, exact) < 1e-12


@pytest.mark.parametrize("folds", [True, False])
@pytest.mark.parametrize("kind", ["default", "bounded", "released"])
@pytest.mark.parametrize("heads", [1, 2])
def test_both_ways_of_the_modulation_equal_the_dense_one(
    folds: bool, kind: str, heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, bounded = kind == "released", kind == "bounded"
    form = cost.FOLDED if folds else "projected"
    monkeypatch.setattr(modulation, "cheapest", lambda *_, **__: form)
    torch.manual_seed(0)
    x, z, labels, token_labels = inputs(90, 16)
    x = x.transpose(1, 2).unflatten(2, (9, 10)).detach().requires_grad_()
    module = ScamModulation(
        12, 20, 16, heads, 16,
        duplex=False, noisy=True, released=released, bounded=bounded, fused=True,
    ).double()  # fmt: skip
    nn.init.normal_(module.noise_scale)
    noise = torch.randn(len(x), 1, 9, 10)
    sources = (x, z, *(p for n, p in module.named_parameters() if not n.endswith("to_key.bias")))
    found = []
    for module.attention.fused in (True, False):
        y, _ = module(x, labels, z, token_labels, noise)
        found.append([y, *grads_of(y, *sources)])
    for actual, exact in zip(*found, strict=True):
        assert relative(actual, exact) < 1e-12


@pytest.mark.parametrize(
    ("side", "channels", "tokens", "expected"),
    [
        (256, 64, 152, "absorbed_keys_and_values"),
        (128, 128, 1208, "absorbed_keys_and_values"),
        (4, 1024, 1208, "absorbed_queries"),  # 1208 gammas and betas would serve 16 pixels
        (16, 1024, 88, "absorbed_keys_and_values"),  # the 11 labels a real map of 151 holds
    ],
)
def test_the_form_of_the_papers_modulations(
    side: int, channels: int, tokens: int, expected: str
) -> None:
    module = SemanticCrossAttention(channels, 256, 256)
    assert cost.cheapest(module.cost(side**2, tokens, 2 * channels), head=True) == expected


def test_the_few_carry_the_projections_of_the_many() -> None:
    latents_read_pixels = SemanticCrossAttention(256, 128, 256)
    assert cost.cheapest(latents_read_pixels.cost(152, 128**2)) == "absorbed_queries"
    assert cost.cheapest(latents_read_pixels.cost(1208, 4**2)) == "absorbed_keys"
    latents_read_latents = SemanticCrossAttention(256, 256, 256)
    assert cost.cheapest(latents_read_latents.cost(152, 152)) == "projected"


def test_costs_count_the_products() -> None:
    """One query, one key, everything one wide: each product counts once."""
    counted = cost.attention_cost(1, 1, 1, 1, 1, 1, 1, 1)
    assert counted == {
        "projected": 1 + 2 + 2 + 1 + 1,
        "absorbed_queries": 1 + 2 + 2 + 1 + 1,
        "absorbed_keys": 2 + 1 + 2 + 1 + 1,
        "absorbed_keys_and_values": 2 + 2 + 1 + 2,
    }
