# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from scam.ops import SemanticLayout, semantic_cross_attention
from scam.testing import assert_matches_oracle, make_inputs, outcome, poisoned_memory

DTYPES = (torch.float64, torch.float32, torch.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("empty", ["zero", "uniform"])
@pytest.mark.parametrize("shared_value", [False, True])
def test_within_the_error_budget(
    backend: str, dtype: torch.dtype, empty: str, shared_value: bool
) -> None:
    inputs = make_inputs(
        heads=4, key_heads=2, queries=150, keys=70, shared_value=shared_value, dtype=dtype
    )
    with poisoned_memory():
        assert_matches_oracle(inputs, backend=backend, empty=empty)


@pytest.mark.parametrize("width", [1, 3, 43, 64, 256, 300])
@pytest.mark.parametrize("value_width", [None, 1, 40])
def test_any_width(backend: str, width: int, value_width: int | None) -> None:
    assert_matches_oracle(make_inputs(width=width, value_width=value_width), backend=backend)


@pytest.mark.parametrize(
    ("queries", "keys", "num_labels"), [(500, 16, 3), (16, 500, 3), (40, 40, 41), (5, 700, 1)]
)
def test_pixels_and_latents_on_either_side(
    backend: str, queries: int, keys: int, num_labels: int
) -> None:
    inputs = make_inputs(queries=queries, keys=keys, num_labels=num_labels, width=32)
    assert_matches_oracle(inputs, backend=backend)


def test_fp16_on_the_reference() -> None:
    assert_matches_oracle(make_inputs(dtype=torch.float16), backend="reference")


@pytest.mark.parametrize(
    ("empty", "shared_value", "layouts"),
    [("zero", False, False), ("zero", True, True), ("uniform", False, True)],
)
def test_gradcheck(backend: str, empty: str, shared_value: bool, layouts: bool) -> None:
    inputs = make_inputs(
        heads=2,
        key_heads=1,
        queries=4,
        keys=6,
        width=3,
        value_width=None if shared_value else 2,
        num_labels=3,
        shared_value=shared_value,
        dtype=torch.float64,
    ).leaves()
    labels = (inputs.query_labels, inputs.key_labels)
    if layouts:
        labels = tuple(SemanticLayout.build(one, 3) for one in labels)
    leaves = [leaf for leaf in (inputs.query, inputs.key, inputs.value) if leaf is not None]

    def attend(query, key, value=None):
        out, lse = semantic_cross_attention(
            query, key, value, *labels, empty=empty, return_lse=True, backend=backend
        )
        return out, lse.masked_fill(lse.isinf(), 0)

    assert torch.autograd.gradcheck(attend, leaves)


def test_shared_values_collect_one_gradient(backend: str) -> None:
    shared = make_inputs(shared_value=True, dtype=torch.float64)
    query, key, _, *labels = shared.arguments()
    got = outcome(shared, backend=backend)
    twice = key.clone().requires_grad_()
    out, lse = semantic_cross_attention(
        query, twice, twice, *labels, return_lse=True, backend=backend
    )
    random = torch.Generator().manual_seed(1)
    grads = [torch.randn(r.shape, generator=random, dtype=torch.float64) for r in (out, lse)]
    torch.autograd.backward((out, lse), grads)
    torch.testing.assert_close(got["grad_key"], twice.grad)


def test_key_and_value_may_be_one_tensor_and_stay_two_arguments(backend: str) -> None:
    query, key, _, *labels = make_inputs(dtype=torch.float64).leaves().arguments()
    value = key.detach().clone().requires_grad_()
    apart = semantic_cross_attention(query, key, value, *labels, backend=backend)
    together = semantic_cross_attention(query, key, key, *labels, backend=backend)
    torch.testing.assert_close(apart, together, rtol=0, atol=0)
    separate = torch.autograd.grad(apart.square().sum(), (key, value))
    (joint,) = torch.autograd.grad(together.square().sum(), key)
    torch.testing.assert_close(joint, separate[0] + separate[1])


def test_one_result_alone_can_be_differentiated(backend: str) -> None:
    inputs = make_inputs(dtype=torch.float64).leaves()
    leaves = (inputs.query, inputs.key, inputs.value)

    def gradients(of: int, backend: str) -> tuple[torch.Tensor | None, ...]:
        results = semantic_cross_attention(*inputs.arguments(), return_lse=True, backend=backend)
        result = results[of]
        loss = result.masked_fill(result.isinf(), 0).square().sum()
        return torch.autograd.grad(loss, leaves, materialize_grads=True)

    for of in (0, 1):
        got, wanted = gradients(of, backend), gradients(of, "reference")
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("wanted", ["query", "key", "value"])
def test_one_input_alone_can_ask(backend: str, wanted: str) -> None:
    inputs = make_inputs(dtype=torch.float64)
    getattr(inputs, wanted).requires_grad_()
    out = semantic_cross_attention(*inputs.arguments(), backend=backend)
    out.square().sum().backward()
    expected = semantic_cross_attention(*inputs.leaves().arguments(), backend="reference")
    assert expected.requires_grad
    leaves = inputs.leaves()
    semantic_cross_attention(*leaves.arguments(), backend="reference").square().sum().backward()
    torch.testing.assert_close(getattr(inputs, wanted).grad, getattr(leaves, wanted).grad)


@pytest.mark.parametrize("keys", [24, 700])
@pytest.mark.parametrize("memory", ["contiguous", "channels_first"])
@pytest.mark.parametrize("shared_value", [False, True])
@pytest.mark.parametrize("empty", ["zero", "uniform"])
def test_the_query_alone_gets_the_same_bits(
    fused: str, keys: int, memory: str, shared_value: bool, empty: str
) -> None:
    inputs = make_inputs(keys=keys, width=43, memory=memory, shared_value=shared_value)
    alone, leaves = inputs.arguments(), inputs.leaves().arguments()
    alone = (alone[0].detach().requires_grad_(), *alone[1:])
    for arguments in (alone, leaves):
        out = semantic_cross_attention(*arguments, empty=empty, backend=fused)
        out.square().sum().backward()
    assert torch.equal(alone[0].grad, leaves[0].grad)


def test_backward_may_run_twice(backend: str) -> None:
    inputs = make_inputs().leaves()
    loss = semantic_cross_attention(*inputs.arguments(), backend=backend).square().sum()
    first = torch.autograd.grad(loss, inputs.key, retain_graph=True)
    second = torch.autograd.grad(loss, inputs.key)
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_rows_that_see_nothing_get_no_gradient(backend: str) -> None:
    inputs = make_inputs().leaves()
    results = semantic_cross_attention(*inputs.arguments(), return_lse=True, backend=backend)
    torch.autograd.backward(results, [torch.ones_like(result) for result in results])
    blind = inputs.query_labels < 0
    assert blind.any()
    assert not inputs.query.grad.transpose(1, 2)[blind].any()
    unread = inputs.key_labels < 0
    assert not inputs.key.grad.transpose(1, 2)[unread].any()
    assert not inputs.value.grad.transpose(1, 2)[unread].any()
    assert not inputs.query.grad.isnan().any()
