# SPDX-License-Identifier: Apache-2.0
"""What a label mask promises for free."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from scam.ops import semantic_cross_attention
from scam.testing import Inputs, make_inputs, outcome

BITS = {"rtol": 0.0, "atol": 0.0}
ROUND_OFF = {"rtol": 1e-11, "atol": 1e-12}


def wide(**options) -> Inputs:
    return make_inputs(queries=90, keys=60, dtype=torch.float64, **options)


@pytest.mark.parametrize("empty", ["zero", "uniform"])
def test_the_order_of_keys_does_not_matter(backend: str, empty: str) -> None:
    inputs = wide()
    shuffle = torch.randperm(60)
    shuffled = replace(
        inputs,
        key=inputs.key[:, :, shuffle],
        value=inputs.value[:, :, shuffle],
        key_labels=inputs.key_labels[:, shuffle],
    )
    expected = outcome(inputs, backend=backend, empty=empty)
    for name in ("grad_key", "grad_value"):
        expected[name] = expected[name][:, :, shuffle]
    got = outcome(shuffled, backend=backend, empty=empty)
    torch.testing.assert_close(got, expected, **ROUND_OFF)


def test_the_order_of_queries_permutes_the_output(backend: str) -> None:
    inputs = wide()
    shuffle = torch.randperm(90)
    shuffled = replace(
        inputs, query=inputs.query[:, :, shuffle], query_labels=inputs.query_labels[:, shuffle]
    )
    expected = semantic_cross_attention(*inputs.arguments(), backend=backend)[:, :, shuffle]
    got = semantic_cross_attention(*shuffled.arguments(), backend=backend)
    torch.testing.assert_close(got, expected, **ROUND_OFF)


def test_names_of_labels_do_not_matter(backend: str) -> None:
    inputs = wide()
    names = torch.tensor([70, 3, 200, 11, 0, -7])  # the last names the ignored
    renamed = replace(
        inputs, query_labels=names[inputs.query_labels], key_labels=names[inputs.key_labels]
    )
    expected = outcome(inputs, backend=backend)
    torch.testing.assert_close(outcome(renamed, backend=backend), expected, **ROUND_OFF)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("garbage", ["finite", "nan"])
def test_garbage_in_other_labels_changes_no_bit(
    backend: str, dtype: torch.dtype, garbage: str
) -> None:
    if garbage == "nan" and backend != "cpu":
        pytest.skip(f"{backend} is dense: it promises this for finite garbage only")
    label = 1
    clean = make_inputs(queries=90, keys=60, dtype=dtype)
    spoil = torch.nan if garbage == "nan" else torch.finfo(dtype).max / 4
    others_q, others_k = clean.query_labels != label, clean.key_labels != label

    def spoiled(tensor: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        return tensor.masked_fill(others[:, None, :, None], spoil)

    dirty = replace(clean, key=spoiled(clean.key, others_k), value=spoiled(clean.value, others_k))
    expected, got = outcome(clean, backend=backend), outcome(dirty, backend=backend)
    for name in ("out", "lse", "grad_query"):
        kept = [r.transpose(1, 2)[~others_q] for r in (got[name], expected[name])]
        torch.testing.assert_close(*kept, **BITS)
    for name in ("grad_key", "grad_value"):
        kept = [r.transpose(1, 2)[~others_k] for r in (got[name], expected[name])]
        torch.testing.assert_close(*kept, **BITS)


def test_ignored_keys_and_blind_queries_may_hold_nan(backend: str) -> None:
    clean = wide()
    blind = (clean.query_labels == 4) | (clean.query_labels < 0)  # no key has the last label
    unread = clean.key_labels < 0
    dirty = replace(
        clean,
        query=clean.query.masked_fill(blind[:, None, :, None], torch.nan),
        key=clean.key.masked_fill(unread[:, None, :, None], torch.inf),
        value=clean.value.masked_fill(unread[:, None, :, None], torch.nan),
    )
    if backend == "toy":
        pytest.skip("the toy does not guard its backward pass")
    torch.testing.assert_close(
        outcome(dirty, backend=backend), outcome(clean, backend=backend), **BITS
    )


@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_one_label_is_plain_attention(backend: str, key_heads: int) -> None:
    inputs = wide(heads=4, key_heads=key_heads, value_width=7)
    labels = (torch.zeros(count, dtype=torch.uint8) for count in (90, 60))
    out = semantic_cross_attention(
        inputs.query, inputs.key, inputs.value, *labels, backend=backend
    )
    plain = F.scaled_dot_product_attention(inputs.query, inputs.key, inputs.value, enable_gqa=True)
    torch.testing.assert_close(out, plain, **ROUND_OFF)


def test_a_batch_is_its_items(backend: str) -> None:
    inputs = wide(batch=3)
    whole = semantic_cross_attention(*inputs.arguments(), backend=backend)
    items = [
        semantic_cross_attention(*(a[i : i + 1] for a in inputs.arguments()), backend=backend)
        for i in range(3)
    ]
    torch.testing.assert_close(whole, torch.cat(items), **ROUND_OFF)


def test_one_key_per_label_is_a_gather(backend: str) -> None:
    inputs = make_inputs(keys=4)
    out, lse = semantic_cross_attention(
        inputs.query,
        inputs.key,
        inputs.value,
        inputs.query_labels.clamp(0, 3),
        torch.arange(4),
        return_lse=True,
        backend=backend,
    )
    mine = inputs.query_labels.clamp(0, 3)[:, None, :, None].expand(-1, 2, -1, 16)
    torch.testing.assert_close(out, inputs.value.gather(2, mine), **BITS)
    dots = (inputs.query * inputs.key.gather(2, mine)).sum(-1) / 4
    torch.testing.assert_close(lse, dots)
