# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scam.errors import InputError
from scam.models import Scam, ScamConfig, attention_layers, attention_maps
from scam.nn.attention import SemanticCrossAttention

TINY = ScamConfig(
    4, (64, 32), width=16, levels=4, latents_per_label=2, background_latents=3, token_dim=16,
    attention_dim=16, heads=2,
)  # fmt: skip


def picture(config: ScamConfig, batch: int = 2) -> tuple[Tensor, Tensor]:
    height, width = config.size
    labels = torch.zeros(batch, height, width, dtype=torch.int32)
    labels[:, 8:40, 4:20] = 1
    labels[:, 40:60, 10:30] = 2
    labels[:, :4, :9] = -1
    return torch.rand(batch, 3, height, width, dtype=torch.float64) * 2 - 1, labels


def dense(module: SemanticCrossAttention, queries: Tensor, keys: Tensor) -> Tensor:
    """All scores (B, heads, Nq, Nk), from the weights as they are stored."""
    heads = module.heads
    q, k = (
        layer(x).unflatten(2, (heads, -1)).transpose(1, 2)
        for layer, x in ((module.to_query, queries), (module.to_key, keys))
    )
    return q @ k.transpose(2, 3) * module.scale


def inputs(count: int = 50) -> tuple[SemanticCrossAttention, Tensor, Tensor, Tensor, Tensor]:
    module = SemanticCrossAttention(12, 20, 16, heads=2).double()
    tokens, pixels = torch.randn(2, 7, 12).double() * 3, torch.randn(2, count, 20).double() * 3
    of_tokens = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    of_pixels = torch.randint(-1, 2, (2, count))  # label 2 is absent
    return module, tokens, pixels, of_tokens, of_pixels


def test_weights_are_the_softmax_over_keys_of_the_label() -> None:
    _, tokens, pixels, of_tokens, of_pixels = inputs()
    other = SemanticCrossAttention(20, 12, 16, heads=2).double()
    allowed = of_pixels[:, None, :, None] == of_tokens[None, None, None, :]
    scores = dense(other, pixels, tokens).masked_fill(~allowed, -torch.inf)
    full = F.softmax(scores, -1).nan_to_num(0.0)
    compact = other.weights(pixels, tokens, of_pixels, of_tokens, 3)
    assert compact.shape == (2, 2, 50, 3)
    for label, first, count in ((0, 0, 3), (1, 3, 2)):
        rows = (of_pixels == label)[:, None].expand(-1, 2, -1)
        expected = full[..., first : first + count][rows]
        torch.testing.assert_close(compact[rows][:, :count], expected, rtol=1e-12, atol=1e-15)
    assert not compact[(of_pixels < 0)[:, None].expand(-1, 2, -1)].any()


def test_weights_by_key_are_the_softmax_over_pixels_of_the_label() -> None:
    module, tokens, pixels, of_tokens, of_pixels = inputs()
    allowed = of_tokens[None, None, :, None] == of_pixels[:, None, None, :]
    scores = dense(module, tokens, pixels).masked_fill(~allowed, -torch.inf)
    full = F.softmax(scores, -1).nan_to_num(0.0).transpose(2, 3)  # (B, heads, pixels, tokens)
    compact = module.weights_by_key(tokens, pixels, of_tokens, of_pixels, 3)
    for label, first, count in ((0, 0, 3), (1, 3, 2)):
        rows = (of_pixels == label)[:, None].expand(-1, 2, -1)
        expected = full[..., first : first + count][rows]
        torch.testing.assert_close(compact[rows][:, :count], expected, rtol=1e-11, atol=1e-14)
    assert not compact[(of_pixels < 0)[:, None].expand(-1, 2, -1)].any()


@pytest.mark.parametrize("fidelity", ["default", "released"])
def test_layers_and_what_they_sum_to(fidelity: str) -> None:
    config = replace(TINY, fidelity=fidelity)
    model = Scam(config).double().eval()
    image, labels = picture(config)
    maps = attention_maps(model, image, labels)
    assert list(maps) == attention_layers(model)
    assert len(maps) == 5 + 4 * 3 - 1
    assert maps["encoder.0"].weights.shape == (2, 64, 32, 3)
    assert maps["generator.3.2"].weights.shape == (2, 64, 32, 3)
    for layer, found in maps.items():
        assert found.labels.shape == found.weights.shape[:3]
        if layer.startswith("generator"):
            expected = (found.labels >= 0).double()
            torch.testing.assert_close(found.weights.sum(-1), expected, rtol=1e-9, atol=1e-9)
        else:
            for label, count in ((0, 3), (1, 2), (2, 2)):
                mine = (found.labels == label).unsqueeze(-1)
                total = (found.weights * mine).sum((1, 2))
                present = mine.flatten(1).any(1, keepdim=True).double().expand(-1, count)
                torch.testing.assert_close(total[:, :count], present, rtol=1e-9, atol=1e-9)
                assert not total[:, count:].any()


@pytest.mark.parametrize("changes", [{}, {"duplex": False}, {"pyramid": False}])
def test_fused_and_dense_read_alike(changes: dict[str, bool]) -> None:
    """The folded modulation never calls the attention's forward, the dense one does."""
    config = replace(TINY, **changes)
    model = Scam(config).double().eval()
    image, labels = picture(config)
    fused = attention_maps(model, image, labels)
    dense = attention_maps(model.configure(fused=False), image, labels)
    assert fused.keys() == dense.keys()
    for layer, found in fused.items():
        torch.testing.assert_close(found.weights, dense[layer].weights, rtol=1e-8, atol=1e-10)


def test_looking_changes_nothing_and_leaves_nothing_behind() -> None:
    model = Scam(TINY).double().eval()
    image, labels = picture(TINY)
    before = model.generate(labels, model.encode(image, labels))
    chosen = attention_maps(model, image, labels, ["generator.0.1", "encoder.2"])
    assert list(chosen) == ["encoder.2", "generator.0.1"]
    assert all(
        module.watch is None
        for module in model.modules()
        if isinstance(module, SemanticCrossAttention)
    )
    assert torch.equal(model.generate(labels, model.encode(image, labels)), before)
    with pytest.raises(InputError, match=r"layer 'decoder': expected some of encoder\.0, "):
        attention_maps(model, image, labels, ["decoder"])


def test_threads_look_at_one_model_and_see_their_own() -> None:
    model = Scam(TINY).double().eval()
    pictures = [picture(TINY, 1) for _ in range(4)]
    alone = [attention_maps(model, *each, ["encoder.0"])["encoder.0"] for each in pictures]
    generated = [model(*each).detach() for each in pictures]

    def look(number: int) -> bool:
        found = attention_maps(model, *pictures[number], ["encoder.0"])["encoder.0"]
        same = torch.equal(found.weights, alone[number].weights)
        return same and torch.equal(model(*pictures[number]).detach(), generated[number])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(look, [0, 1, 2, 3] * 3))
