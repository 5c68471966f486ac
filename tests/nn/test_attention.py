# SPDX-License-Identifier: Apache-2.0
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from scam.nn import SatLayer, ScamModulation, SemanticCrossAttention


def problem(pixels: int, tokens: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels (2, n, 12) of labels 0..3 and -1; tokens (2, m, 20) of labels 0, 1, 2, 5."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, pixels, 12, generator=generator, dtype=torch.float64, requires_grad=True)
    z = torch.randn(2, tokens, 20, generator=generator, dtype=torch.float64, requires_grad=True)
    x_labels = torch.randint(-1, 4, (2, pixels), generator=generator)
    z_labels = torch.tensor([0, 1, 2, 5]).repeat_interleave(tokens // 4)
    return x, z, x_labels, z_labels


def gradients(out: Tensor, module: nn.Module, *inputs: Tensor) -> list[Tensor]:
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    parameters = list(module.parameters())
    found = torch.autograd.grad((out * weight).sum(), [*inputs, *parameters], allow_unused=True)
    sources = [*inputs, *parameters]
    return [torch.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=True)]


@pytest.mark.parametrize("empty", ["zero", "uniform"])
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("direction", ["pixels read latents", "latents read pixels", "few pixels"])
def test_fused_equals_dense(direction: str, heads: int, empty: str) -> None:
    """Projected or absorbed, forward and backward, to rounding in float64."""
    torch.manual_seed(0)
    x, z, x_labels, z_labels = problem(5 if direction == "few pixels" else 90, 16)
    down = direction == "latents read pixels"
    module = SemanticCrossAttention(
        *((20, 12) if down else (12, 20)), attention_dim=16, heads=heads, empty=empty
    ).double()
    arguments = (z, x, z_labels, x_labels) if down else (x, z, x_labels, z_labels)
    found = []
    for fused in (True, False):
        module.fused = fused
        out = module(*arguments)
        found.append([out, *gradients(out, module, x, z)])
    for fused_value, dense_value in zip(*found, strict=True):
        torch.testing.assert_close(fused_value, dense_value, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["queries", "keys", "to_query", "to_key", "to_value", "to_out"])
@pytest.mark.parametrize("direction", ["pixels read latents", "latents read pixels", "few pixels"])
def test_what_is_not_finite_shows_fused_as_dense(direction: str, name: str, number: float) -> None:
    """Not only in the dense form: in the fused one NaN once passed for "sees nothing"."""
    torch.manual_seed(0)
    x, z, x_labels, z_labels = (t.detach() for t in problem(5 if "few" in direction else 90, 16))
    down = direction == "latents read pixels"
    module = SemanticCrossAttention(*((20, 12) if down else (12, 20)), attention_dim=16).double()
    arguments = (z, x, z_labels, x_labels) if down else (x, z, x_labels, z_labels)
    found = []
    with torch.no_grad():
        if name in ("queries", "keys"):
            arguments[name == "keys"][0, 0] = number
        else:
            getattr(module, name).weight[0, 0] = number
        for module.fused in (True, False):
            found.append(module(*arguments).isfinite())
    fused, dense = found
    labels = (z_labels.expand(2, -1) if down else x_labels)[..., None].expand_as(fused)
    seeing = dense.new_zeros(labels.shape)
    for label in (0, 1, 2):  # of both sides
        seeing |= labels == label
    if name in ("to_query", "to_key", "to_value", "to_out"):
        assert not fused[seeing].all()
    if torch.isnan(torch.tensor(number)):
        # Dense products carry NaN of one key to other labels too; the fused form does not.
        assert torch.equal(fused & seeing, dense & seeing) or name == "keys"
        assert (dense <= fused).all()


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("duplex", [False, True])
def test_modulation_folded_into_the_tokens_equals_projected_pixels(
    duplex: bool, heads: int, released: bool
) -> None:
    torch.manual_seed(0)
    x, z, labels, token_labels = problem(90, 16)
    x = x.transpose(1, 2).unflatten(2, (9, 10))
    module = ScamModulation(
        12, 20, 16, heads, 16, duplex=duplex, noisy=True, released=released, fused=True
    ).double()
    nn.init.ones_(module.noise_scale)
    noise = torch.randn(len(x), 1, 9, 10)
    found = []
    for fused in (True, False):
        for part in module.modules():
            if isinstance(part, SemanticCrossAttention):
                part.fused = fused
        y, tokens = module(x, labels, z, token_labels, noise)
        found.append(
            [y, tokens, *gradients(torch.cat([y.flatten(), tokens.flatten()]), module, x, z)]
        )
    for fused_value, dense_value in zip(*found, strict=True):
        torch.testing.assert_close(fused_value, dense_value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("fused", [True, False])
def test_a_query_without_keys_gets_nothing_not_even_a_bias(fused: bool) -> None:
    x, z, x_labels, z_labels = problem(40, 8)
    module = SemanticCrossAttention(12, 20, attention_dim=16, fused=fused).double()
    nn.init.constant_(module.to_out.bias, 3.0)
    out = module(x, z, x_labels, z_labels)
    lonely = (x_labels < 0) | (x_labels == 3)
    assert lonely.any()
    assert (out[lonely] == 0).all()
    assert (out[~lonely] != 0).any(-1).all()


@pytest.mark.parametrize("fused", [True, False])
def test_uniform_gives_lonely_queries_the_mean_of_all_values(fused: bool) -> None:
    x, z, x_labels, z_labels = problem(40, 8)
    module = SemanticCrossAttention(12, 20, 16, empty="uniform", fused=fused).double()
    out = module(x, z, x_labels, z_labels)
    mean = module.to_out(module.to_value(z).mean(1, keepdim=True)).expand_as(out)
    lonely = (x_labels < 0) | (x_labels == 3)
    torch.testing.assert_close(out[lonely], mean[lonely])


@pytest.mark.parametrize("bounded", [None, "queries", "keys"])
@pytest.mark.parametrize(("batch", "queries", "keys"), [(0, 5, 4), (2, 0, 4), (2, 300, 0)])
def test_there_may_be_none(
    batch: int, queries: int, keys: int, bounded: Literal["queries", "keys"] | None
) -> None:
    module = SemanticCrossAttention(12, 20, attention_dim=16, heads=2, bounded=bounded)
    x, z = torch.randn(batch, queries, 12), torch.randn(batch, keys, 20)
    for module.fused in (True, False):
        out = module(x, z, torch.zeros(queries).int(), torch.zeros(keys).int())
        assert out.shape == x.shape
        assert keys or not out.any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"heads": 3},
        {"heads": 0},
        {"empty": "none"},
        {"bounded": "values"},
        {"query_dim": 0},
        {"key_dim": -1},
        {"attention_dim": 0},
        {"latents_per_label": 0},
    ],
)
def test_what_it_cannot_be_made_of(wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))}="):
        SemanticCrossAttention(**{"query_dim": 8, "key_dim": 8, "attention_dim": 16} | wrong)


def test_per_token_norms_isolate_labels_and_joint_ones_do_not() -> None:
    """Changing pixels of label 0 must leave the tokens of label 1 alone, bit for bit."""
    labels, tokens = torch.tensor([0, 0, 1, 1]), torch.randn(1, 4, 8)
    pixels, pixel_labels = torch.randn(1, 30, 6), torch.randint(0, 2, (1, 30))
    changed = torch.where((pixel_labels == 0)[..., None], torch.randn(1, 30, 6), pixels)
    for released in (False, True):
        torch.manual_seed(0)
        layer = SatLayer(8, 6, 8, 1, 4, released=released, fused=True)
        before, after = (layer(tokens, x, labels, pixel_labels)[:, 2:] for x in (pixels, changed))
        assert torch.equal(before, after) is not released


@pytest.mark.parametrize("counts", [(400, 20), (20, 400), (30, 30)])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("queries", lambda t: t.double(), "queries: expected torch.float32 like the parameters"),
        ("keys", lambda t: t.bfloat16(), "keys: expected torch.float32 like the parameters"),
        ("queries", lambda t: t[..., 1:], r"queries: expected shape \(B, N, 12\), got \(2, "),
        ("keys", lambda t: t[:1], "keys: expected a batch of 2, got 1"),
        ("keys", lambda t: t[0], r"keys: expected shape \(B, N, 8\), got \("),
        ("queries", lambda t: t.numpy(), "queries: expected a tensor, got ndarray"),
    ],
)  # fmt: skip
def test_arguments_are_checked_alike_whatever_form_is_chosen(
    name: str, change: Any, message: str, counts: tuple[int, int]
) -> None:
    attention = SemanticCrossAttention(12, 8, 16, heads=2)
    given: dict[str, Any] = {
        "queries": torch.randn(2, counts[0], 12),
        "keys": torch.randn(2, counts[1], 8),
        "query_labels": torch.zeros(counts[0], dtype=torch.int64),
        "key_labels": torch.zeros(counts[1], dtype=torch.int64),
    }
    with torch.autocast("cpu", torch.bfloat16):
        attention(**{**given, "keys": given["keys"].bfloat16()})
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        attention(**{**given, name: change(given[name])})
