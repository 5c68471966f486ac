# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from scam.ops import attention_library, semantic_attention_map, semantic_cross_attention
from scam.testing import assert_within_budget, make_inputs, outcome

BF16 = torch.bfloat16


def test_inputs_are_rounded_once_and_statistics_stay(backend: str) -> None:
    inputs = make_inputs(width=64)
    rounded = outcome(inputs.to(BF16), backend=backend)
    leaves = inputs.leaves()
    with torch.autocast("cpu", dtype=BF16):
        out, lse = semantic_cross_attention(*leaves.arguments(), return_lse=True, backend=backend)
    assert (out.dtype, lse.dtype) == (BF16, torch.float32)
    assert torch.equal(out, rounded["out"])
    assert torch.equal(lse, rounded["lse"])
    assert torch.equal(lse.to(BF16).float(), lse) is False
    out.sum().backward()
    assert leaves.query.grad.dtype == leaves.key.grad.dtype == torch.float32


def test_backward_inside_autocast_is_the_same(fused: str) -> None:
    gradients = []
    for inside in (False, True):
        leaves = make_inputs().leaves()
        with torch.autocast("cpu", dtype=BF16):
            out = semantic_cross_attention(*leaves.arguments(), backend=fused)
            with torch.autocast("cpu", dtype=BF16, enabled=inside):
                (out.float() ** 2).sum().backward()
        gradients.append((leaves.query.grad, leaves.key.grad, leaves.value.grad))
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_mixed_dtypes_meet_in_autocasts_dtype(backend: str) -> None:
    inputs = make_inputs()
    with torch.autocast("cpu", dtype=BF16):
        out = semantic_cross_attention(
            inputs.query.half(),
            inputs.key,
            inputs.value.bfloat16(),
            inputs.query_labels,
            inputs.key_labels,
            backend=backend,
        )
    assert out.dtype == BF16


def test_the_dtype_follows_the_context_not_the_registration() -> None:
    inputs = make_inputs()
    for dtype in (torch.float16, BF16):
        with torch.autocast("cpu", dtype=dtype):
            out = semantic_cross_attention(*inputs.arguments(), backend="reference")
        assert out.dtype == dtype


def test_fp64_is_left_alone(backend: str) -> None:
    inputs = make_inputs(dtype=torch.float64)
    expected = outcome(inputs, backend=backend)
    with torch.autocast("cpu", dtype=BF16):
        got = outcome(inputs, backend=backend)
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_switched_off_inside(backend: str) -> None:
    inputs = make_inputs()
    with torch.autocast("cpu", dtype=BF16), torch.autocast("cpu", enabled=False):
        assert (
            semantic_cross_attention(*inputs.arguments(), backend=backend).dtype == torch.float32
        )


def test_the_registered_op_itself_casts(fused: str) -> None:
    rows = (None,) * 4
    arguments = (*make_inputs().arguments(), *rows, 0.25, "zero", fused)
    with torch.autocast("cpu", dtype=BF16):
        out, lse, _ = attention_library.sca_fwd(*arguments)
    assert (out.dtype, lse.dtype) == (BF16, torch.float32)


def test_dispatch_sees_the_dtype_that_will_be_computed_in(toy: str) -> None:
    with (
        torch.autocast("cpu", dtype=torch.float16),
        pytest.raises(ValueError, match="toy dislikes fp16; would serve: "),
    ):
        semantic_cross_attention(*make_inputs().arguments(), backend=toy)


def test_the_map_is_rounded_like_the_op() -> None:
    query, key, _, *labels = make_inputs(width=64).arguments()
    with torch.autocast("cpu", dtype=BF16):
        weights = semantic_attention_map(query, key, *labels, max_keys=24)
    expected = semantic_attention_map(query.to(BF16), key.to(BF16), *labels, max_keys=24)
    assert_within_budget("weights", weights, expected.double(), expected)
