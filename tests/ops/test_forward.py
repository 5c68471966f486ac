# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from scam.ops import SemanticLayout, semantic_cross_attention
from scam.ops.problem import LABEL_DTYPES
from scam.testing import make_inputs, poisoned_memory


def worked_example() -> tuple[torch.Tensor, ...]:
    """Two labels, one ignored query, one query whose label no key has."""
    query = torch.tensor([1.0, 2.0, 5.0, 5.0]).view(1, 1, 4, 1)
    key = torch.tensor([0.0, math.log(3), 7.0]).view(1, 1, 3, 1)
    value = torch.tensor([[4.0, 0.0], [8.0, 4.0], [1.0, -1.0]]).view(1, 1, 3, 2)
    return query, key, value, torch.tensor([[0, 2, -1, 9]]), torch.tensor([[0, 0, 2]])


def test_worked_example(backend: str) -> None:
    out, lse = semantic_cross_attention(
        *worked_example(), scale=1.0, return_lse=True, backend=backend
    )
    # Query 0 weighs its two keys 1 : 3; query 1 has one key, the value of which it copies.
    expected = torch.tensor([[7.0, 3.0], [1.0, -1.0], [0.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(out[0, 0], expected)
    torch.testing.assert_close(lse[0, 0], torch.tensor([math.log(4), 14.0, -math.inf, -math.inf]))


def test_worked_example_uniform(backend: str) -> None:
    out, lse = semantic_cross_attention(
        *worked_example(), scale=1.0, empty="uniform", return_lse=True, backend=backend
    )
    mean = [13 / 3, 1.0]
    expected = torch.tensor([[7.0, 3.0], [1.0, -1.0], mean, mean])
    torch.testing.assert_close(out[0, 0], expected)
    torch.testing.assert_close(
        lse[0, 0], torch.tensor([math.log(4), 14.0, math.log(3), math.log(3)])
    )


def test_the_default_scale_is_one_over_the_root_of_d(backend: str) -> None:
    arguments = make_inputs(width=9).arguments()
    torch.testing.assert_close(
        semantic_cross_attention(*arguments, backend=backend),
        semantic_cross_attention(*arguments, scale=1 / 3, backend=backend),
    )


def test_without_lse_the_output_alone_is_returned(backend: str) -> None:
    arguments = make_inputs().arguments()
    alone = semantic_cross_attention(*arguments, backend=backend)
    out, lse = semantic_cross_attention(*arguments, return_lse=True, backend=backend)
    assert torch.equal(alone, out)
    assert lse.shape == out.shape[:-1]


@pytest.mark.parametrize("empty", ["zero", "uniform"])
@pytest.mark.parametrize(
    ("batch", "queries", "keys"), [(0, 3, 4), (2, 0, 4), (2, 3, 0), (2, 0, 0)]
)
def test_nothing_to_do(backend: str, empty: str, batch: int, queries: int, keys: int) -> None:
    inputs = make_inputs(batch=batch, queries=queries, keys=keys, value_width=5).leaves()
    with poisoned_memory():
        out, lse = semantic_cross_attention(
            *inputs.arguments(), empty=empty, return_lse=True, backend=backend
        )
        out.sum().backward()
    assert out.shape == (batch, 2, queries, 5)
    assert not out.isnan().any()
    assert not lse.isnan().any()
    if keys == 0:
        assert not out.any()
        assert lse.isneginf().all()
    for leaf in (inputs.query, inputs.key, inputs.value):
        assert leaf.grad.shape == leaf.shape
        assert not leaf.grad.isnan().any()


@pytest.mark.parametrize("dtype", LABEL_DTYPES, ids=str)
def test_label_dtypes_mix(backend: str, dtype: torch.dtype) -> None:
    inputs = make_inputs()
    query_labels = inputs.query_labels.clamp(min=0)
    expected = semantic_cross_attention(
        inputs.query,
        inputs.key,
        inputs.value,
        query_labels,
        inputs.key_labels,
        backend="reference",
    )
    out = semantic_cross_attention(
        inputs.query,
        inputs.key,
        inputs.value,
        query_labels.to(dtype),
        inputs.key_labels.to(torch.int16),
        backend=backend,
    )
    torch.testing.assert_close(out, expected)


def test_255_is_a_label_and_minus_one_is_not(backend: str) -> None:
    query, key = torch.randn(1, 1, 1, 4), torch.randn(1, 1, 1, 4)
    labels = torch.tensor([255], dtype=torch.uint8)
    out = semantic_cross_attention(query, key, None, labels, labels, backend=backend)
    torch.testing.assert_close(out, key)
    ignored = torch.tensor([-1], dtype=torch.int8)
    for pair in ((ignored, ignored), (labels, ignored), (ignored, labels)):
        assert not semantic_cross_attention(query, key, None, *pair, backend=backend).any()


@pytest.mark.parametrize("wild", [1000, 2**31, 2**40 + 3])
def test_labels_may_be_any_number(backend: str, wild: int) -> None:
    inputs = make_inputs(num_labels=4)
    expected = semantic_cross_attention(*inputs.arguments(), backend="reference")
    names = torch.tensor([0, 1, wild, wild + 1, -5])
    renamed = (names[labels] for labels in (inputs.query_labels, inputs.key_labels))
    out = semantic_cross_attention(
        inputs.query, inputs.key, inputs.value, *renamed, backend=backend
    )
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("empty", ["zero", "uniform"])
@pytest.mark.parametrize("of_queries", [False, True])
@pytest.mark.parametrize("of_keys", [False, True])
def test_a_layout_stands_for_its_labels(
    backend: str, empty: str, of_queries: bool, of_keys: bool
) -> None:
    query, key, value, query_labels, key_labels = make_inputs().arguments()
    options = {"empty": empty, "return_lse": True, "backend": backend}
    expected = semantic_cross_attention(query, key, value, query_labels, key_labels, **options)
    if of_queries:
        query_labels = SemanticLayout.build(query_labels, 5)
    if of_keys:
        key_labels = SemanticLayout.build(key_labels, 5)
    results = semantic_cross_attention(query, key, value, query_labels, key_labels, **options)
    for result, wanted in zip(results, expected, strict=True):
        torch.testing.assert_close(result, wanted)


def test_one_row_of_labels_serves_the_batch(backend: str) -> None:
    query, key, value, query_labels, key_labels = make_inputs(batch=3).arguments()
    one, row = query_labels[0], key_labels[0]
    expected = semantic_cross_attention(
        query, key, value, one.expand(3, -1), row.expand(3, -1), backend=backend
    )
    layouts = (SemanticLayout.build(one, 5), SemanticLayout.build(row, 5))
    for labels in ((one, row), layouts, (layouts[0], row)):
        out = semantic_cross_attention(query, key, value, *labels, backend=backend)
        torch.testing.assert_close(out, expected)


def test_huge_logits_do_not_overflow(backend: str) -> None:
    query, key, value, *labels = make_inputs().arguments()
    out, lse = semantic_cross_attention(
        query * 1e4, key * 1e4, value, *labels, return_lse=True, backend=backend
    )
    assert out.isfinite().all()
    assert not lse.isnan().any()
    assert out.abs().max() <= value.abs().max() * 1.001
