# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from scam.ops import SemanticLayout, semantic_attention_map, semantic_cross_attention
from scam.ops.dispatch import use_backend
from scam.settings import environment
from scam.testing import make_inputs


def test_worked_example(backend: str) -> None:
    query = torch.ones(1, 1, 3, 1)
    key = torch.tensor([math.log(3), 5.0, 0.0]).view(1, 1, 3, 1)
    labels = torch.tensor([4, 1, -1]), torch.tensor([4, 1, 4])
    with use_backend(backend):
        weights = semantic_attention_map(query, key, *labels, max_keys=3, scale=1.0)
    expected = torch.tensor([[0.75, 0.25, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(weights[0, 0], expected)


@pytest.mark.parametrize("layouts", [False, True])
def test_it_is_the_softmax_of_the_op(backend: str, layouts: bool) -> None:
    inputs = make_inputs(heads=4, key_heads=2, dtype=torch.float64)
    query, key, value, *labels = inputs.arguments()
    given = [SemanticLayout.build(one, 5) for one in labels] if layouts else labels
    with use_backend(backend):
        weights = semantic_attention_map(query, key, *given, max_keys=24)
        out = semantic_cross_attention(*inputs.arguments())
    rebuilt = torch.zeros_like(out)
    for b in range(2):
        for i, label in enumerate(labels[0][b].tolist()):
            own = ((labels[1][b] == label) & (label >= 0)).nonzero().squeeze(1)
            assert not weights[b, :, i, len(own) :].any()
            mine = value[b, :, own].repeat_interleave(2, 0)  # (H, own, Dv)
            rebuilt[b, :, i] = (weights[b, :, i, : len(own), None] * mine).sum(1)
    torch.testing.assert_close(rebuilt, out)


def test_a_cut_label_keeps_the_weights_of_the_whole() -> None:
    query, key, _, *labels = make_inputs().arguments()
    with use_backend("reference"):
        whole = semantic_attention_map(query, key, *labels, max_keys=24)
        cut = semantic_attention_map(query, key, *labels, max_keys=2)
    torch.testing.assert_close(cut, whole[..., :2])


def test_a_cut_label_is_an_error_under_scam_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "check", lambda: True)
    query, key, *_ = make_inputs(queries=3, keys=4).arguments()
    labels = torch.tensor([0, 0, 1]), torch.tensor([0, 0, 0, 2])
    with pytest.raises(ValueError, match="max_keys=2: expected at least 3"):
        semantic_attention_map(query, key, *labels, max_keys=2)
    semantic_attention_map(query, key, *labels, max_keys=3)


def test_no_keys_no_weights() -> None:
    query, key, _, *labels = make_inputs(keys=0).arguments()
    weights = semantic_attention_map(query, key, *labels, max_keys=2)
    assert weights.shape == (2, 2, 37, 2)
    assert not weights.any()


def test_gradients_are_finite(backend: str) -> None:
    query, key, _, *labels = make_inputs().leaves().arguments()
    with use_backend(backend):
        weights = semantic_attention_map(query, key, *labels, max_keys=24)
    weights.square().sum().backward()
    assert query.grad.isfinite().all()
    assert key.grad.isfinite().all()


def test_what_is_not_taken_is_named() -> None:
    query, key, _, *labels = make_inputs().arguments()
    with pytest.raises(TypeError, match="key: expected a tensor, got list"):
        semantic_attention_map(query, [key], *labels, max_keys=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_keys: expected at least 1, got 0"):
        semantic_attention_map(query, key, *labels, max_keys=0)
