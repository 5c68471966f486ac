# SPDX-License-Identifier: Apache-2.0
"""Bounded scores: their size is learned, and does not follow that of the weights."""

import pytest
import torch
from torch import Tensor, nn

from scam.nn import ScamModulation, SemanticCrossAttention, attention

SIDES = ("queries", "keys")


def problem() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries and keys with their labels; some labels are on one side only."""
    random = torch.Generator().manual_seed(0)
    queries = torch.randn(2, 30, 12, generator=random, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(2, 40, 20, generator=random, dtype=torch.float64, requires_grad=True)
    labels = [torch.randint(-1, 4, (2, count), generator=random) for count in (30, 40)]
    return queries, keys, *labels


def bounded(side: str, heads: int = 2, **settings: object) -> SemanticCrossAttention:
    torch.manual_seed(0)
    return SemanticCrossAttention(12, 20, 16, heads, bounded=side, **settings).double()  # type: ignore[arg-type]


def largest_score(module: SemanticCrossAttention, queries: Tensor, keys: Tensor) -> float:
    q, k = module._queries(queries), module._keys(keys)
    return float((q @ k.transpose(2, 3)).detach().abs().max() * module.scale)


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("form", ["projected", "absorbed_queries", "absorbed_keys"])
def test_every_form_equals_the_dense_one(
    form: str, side: str, heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        attention, "cheapest", lambda cost, **_: form if form in cost else "projected"
    )
    arguments = problem()
    module = bounded(side, heads)
    nn.init.normal_(module.log_length)
    sources = (*arguments[:2], *module.parameters())
    found = []
    for module.fused in (True, False):
        out = module(*arguments)
        weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        found.append([out, *torch.autograd.grad((out * weight).sum(), sources)])
    for fused, dense in zip(*found, strict=True):
        torch.testing.assert_close(fused, dense, rtol=1e-11, atol=1e-11)
    assert found[0][-1].shape == module.to_out.bias.shape
    assert all(bool(gradient.any()) for gradient in found[0])


@pytest.mark.parametrize("side", SIDES)
def test_scores_do_not_grow_with_the_weights(side: str) -> None:
    queries, keys, *_ = problem()
    module = bounded(side)
    before = largest_score(module, queries, keys)
    longest = max(float(x.norm(dim=-1).max()) for x in (queries, keys))
    assert before <= (longest**2 + 1) ** 0.5
    with torch.no_grad():
        for layer in (module.to_query, module.to_key):
            for parameter in layer.parameters():
                parameter.mul_(100)
    assert largest_score(module, queries, keys) == pytest.approx(before)


@pytest.mark.parametrize("side", SIDES)
def test_the_learned_length_is_what_scores_grow_with(side: str) -> None:
    queries, keys, *_ = problem()
    module = bounded(side)
    before = largest_score(module, queries, keys)
    nn.init.constant_(module.log_length, 3.0)
    assert largest_score(module, queries, keys) == pytest.approx(before * torch.tensor(3.0).exp())


def test_a_modulation_meets_its_pixels_normalised() -> None:
    """How large the features are, and around what, changes nothing."""
    torch.manual_seed(0)
    module = ScamModulation(
        12, 20, 16, 1, 8, duplex=True, noisy=False, released=False, bounded=True, fused=True
    ).double()
    x, tokens = torch.randn(2, 12, 9, 10).double(), torch.randn(2, 8, 20).double()
    labels, token_labels = torch.randint(0, 2, (2, 90)), torch.arange(2).repeat_interleave(4)
    moved = 50 * x + torch.arange(12)[:, None, None]
    found, expected = (module(y, labels, tokens, token_labels, None) for y in (moved, x))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)  # but for the norm's eps
