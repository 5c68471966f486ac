# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from scam.ops import semantic_cross_attention
from scam.ops.attention_call import empty_output
from scam.testing import MEMORY, Inputs, assert_matches_oracle, lay_out, make_inputs, outcome


def in_memory(inputs: Inputs, memory: str) -> Inputs:
    tensors = (lay_out(t, memory) for t in (inputs.query, inputs.key, inputs.value))
    return Inputs(*tensors, inputs.query_labels, inputs.key_labels)


@pytest.mark.parametrize("memory", [m for m in MEMORY if m != "expanded"])
@pytest.mark.parametrize("value_width", [None, 5])
def test_the_layout_of_inputs_does_not_change_results(
    backend: str, memory: str, value_width: int | None
) -> None:
    inputs = make_inputs(value_width=value_width, dtype=torch.float64)
    expected = outcome(inputs, backend=backend)
    got = outcome(in_memory(inputs, memory), backend=backend)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("value_width", [None, 5])
def test_the_layout_of_the_output(backend: str, memory: str, value_width: int | None) -> None:
    inputs = make_inputs(memory=memory, value_width=value_width)
    out, lse = semantic_cross_attention(*inputs.arguments(), return_lse=True, backend=backend)
    assert out.stride() == empty_output(inputs.query, out.shape[-1]).stride()
    assert lse.is_contiguous()


def test_the_rule_of_layouts() -> None:
    shape = (2, 3, 10, 4)
    rules = {
        "contiguous": (120, 40, 4, 1),
        "channels_first": (120, 40, 1, 10),
        "channels_last": (120, 4, 12, 1),
        "sliced": (120, 40, 4, 1),
    }
    for memory, strides in rules.items():
        query = lay_out(torch.zeros(shape), memory)
        assert empty_output(query, 4).stride() == strides
        assert empty_output(query, 5).is_contiguous()


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    axes=st.permutations(range(4)),
    steps=st.tuples(*[st.sampled_from([1, 2])] * 4),
    expanded=st.sets(st.integers(0, 3), max_size=2),
)
def test_shape_inference_knows_every_layout(
    shape: tuple[int, ...], axes: list[int], steps: tuple[int, ...], expanded: set[int]
) -> None:
    """Compiled code relies on the strides that fake tensors foretell."""
    stored = [shape[axis] * steps[axis] for axis in axes]
    query = torch.zeros(stored).permute([axes.index(axis) for axis in range(4)])
    query = query[tuple(slice(None, None, step) for step in steps)]
    for axis in expanded:
        query = query.narrow(axis, 0, 1).expand(
            [shape[a] if a == axis else query.shape[a] for a in range(4)]
        )
    with FakeTensorMode() as mode:
        foretold = empty_output(mode.from_tensor(query), shape[3])
    real = empty_output(query, shape[3])
    assert foretold.stride() == real.stride()
    assert real.is_contiguous() or sorted(real.stride())[0] == 1
    assert torch.numel(real) == real.untyped_storage().nbytes() // 4


@pytest.mark.parametrize("memory", MEMORY)
def test_gradients_from_any_layout(backend: str, memory: str) -> None:
    assert_matches_oracle(make_inputs(memory=memory, heads=4, key_heads=2), backend=backend)


def test_labels_of_any_stride(backend: str) -> None:
    inputs = make_inputs()
    expected = semantic_cross_attention(*inputs.arguments(), backend=backend)

    def strided(labels: torch.Tensor) -> torch.Tensor:
        return torch.stack((labels, labels + 1), dim=-1)[..., 0]

    out = semantic_cross_attention(
        inputs.query,
        inputs.key,
        inputs.value,
        strided(inputs.query_labels),
        inputs.key_labels.T.contiguous().T,
        backend=backend,
    )
    torch.testing.assert_close(out, expected, rtol=0, atol=0)


def test_gradients_that_arrive_expanded(backend: str) -> None:
    """``sum().backward()`` hands over a gradient of stride 0."""
    inputs = make_inputs(dtype=torch.float64).leaves()
    semantic_cross_attention(*inputs.arguments(), backend=backend).sum().backward()
    plain = make_inputs(dtype=torch.float64).leaves()
    out = semantic_cross_attention(*plain.arguments(), backend="reference")
    out.backward(torch.ones_like(out))
    torch.testing.assert_close(inputs.value.grad, plain.value.grad)
    torch.testing.assert_close(inputs.query.grad, plain.query.grad)


def test_pixels_of_a_feature_map_come_in_as_a_view(backend: str) -> None:
    features = torch.randn(2, 8, 5, 6).to(memory_format=torch.channels_last).requires_grad_()
    query = features.flatten(2).mT.unsqueeze(1)  # (B, 1, h * w, C)
    assert query.data_ptr() == features.data_ptr()
    key, value = torch.randn(2, 1, 6, 8), torch.randn(2, 1, 6, 8)
    labels = torch.randint(0, 3, (2, 30)), torch.tensor([0, 0, 1, 1, 2, 2])
    out = semantic_cross_attention(query, key, value, *labels, backend=backend)
    back = out.squeeze(1).mT.unflatten(2, (5, 6))
    assert back.is_contiguous(memory_format=torch.channels_last)
    back.sum().backward()
    assert features.grad.shape == features.shape
