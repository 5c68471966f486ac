# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from scam.ops import (
    SemanticLayout,
    attention_library,
    semantic_cross_attention,
    sorting_library,
)
from scam.ops.layout import plain_labels
from scam.testing import Inputs, make_inputs

UTILITIES = (
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    "test_aot_dispatch_dynamic",
)


def op_arguments(inputs: Inputs, backend: str, empty: str, layouts: bool) -> tuple:
    query, key, value, query_labels, key_labels = inputs.arguments()
    rows = (None,) * 4
    if layouts:
        of_queries, of_keys = (SemanticLayout.build(t, 5) for t in (query_labels, key_labels))
        rows = (of_queries.order, of_queries.offsets, of_keys.order, of_keys.offsets)
    return query, key, value, query_labels, key_labels, *rows, 0.25, empty, backend


CASES = [
    # memory, dtype, shared_value, empty, layouts
    ("contiguous", torch.float32, False, "zero", False),
    ("channels_first", torch.float32, True, "uniform", True),
    ("channels_last", torch.bfloat16, False, "zero", True),
    ("sliced", torch.float64, False, "uniform", False),
]


@pytest.mark.parametrize(("memory", "dtype", "shared_value", "empty", "layouts"), CASES)
@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(
    fused: str,
    memory: str,
    dtype: torch.dtype,
    shared_value: bool,
    empty: str,
    layouts: bool,
    grad: bool,
) -> None:
    inputs = make_inputs(
        heads=4, key_heads=2, memory=memory, dtype=dtype, shared_value=shared_value
    )
    arguments = op_arguments(inputs.leaves() if grad else inputs, fused, empty, layouts)
    torch.library.opcheck(attention_library.sca_fwd, arguments)

    out, *statistics = attention_library.sca_fwd(*op_arguments(inputs, fused, empty, layouts))
    grads = (torch.randn_like(out), torch.randn_like(statistics[0]))
    of_backward = (*grads, *arguments[:3], out, *statistics, *arguments[3:], True)
    # With gradients the last utility differentiates the backward op, which refuses on purpose.
    torch.library.opcheck(
        attention_library.sca_bwd, of_backward, test_utils=UTILITIES[:3] if grad else UTILITIES
    )
    torch.library.opcheck(
        attention_library.sca_bwd, (grads[0], None, *of_backward[2:]), test_utils=UTILITIES[:3]
    )
    torch.library.opcheck(
        attention_library.sca_bwd, (*of_backward[:-1], False), test_utils=UTILITIES[:3]
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize("by_size", [False, True])
def test_opcheck_of_sorting(dtype: torch.dtype, by_size: bool) -> None:
    labels, others = (torch.randint(0, 5, (2, count)).to(dtype) for count in (9, 40))
    torch.library.opcheck(sorting_library.sort_sides, (labels, others, by_size))
    torch.library.opcheck(sorting_library.sort_labels, (labels, 5))
    torch.library.opcheck(sorting_library.lay_out, (labels, 5))


@pytest.mark.parametrize("known", [(), (0,), (1,), (0, 1)])
def test_backward_gets_the_order_of_both_sides(
    toy: str, known: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy_backend

    inputs = make_inputs(queries=30, keys=9).leaves()
    query, key, value, *labels = inputs.arguments()
    for side in known:
        labels[side] = SemanticLayout.build(labels[side], 5)
    layouts = []
    backward = toy_backend.backward

    def noted(call, *args):
        layouts.append(call.layout)
        return backward(call, *args)

    monkeypatch.setattr(toy_backend, "backward", noted)
    semantic_cross_attention(query, key, value, *labels, backend=toy).sum().backward()
    order, offsets, key_order, key_offsets = layouts[0]
    assert offsets.shape == key_offsets.shape
    for b in range(query.shape[0]):
        for items, ends, side in ((order, offsets, 0), (key_order, key_offsets, 1)):
            found = plain_labels(labels[side])[b]
            assert items[b].sort().values.tolist() == list(range(len(found)))
            for first, last in ends[b].unfold(0, 2, 1).tolist():
                assert len(found[items[b, first:last]].unique()) <= 1


def test_all_arguments_are_positional() -> None:
    for op in (attention_library.sca_fwd, attention_library.sca_bwd):
        assert not any(argument.kwarg_only for argument in op._schema.arguments)


def test_the_schema() -> None:
    assert str(attention_library.sca_fwd._schema) == (
        "scam::sca_fwd(Tensor query, Tensor key, Tensor? value, Tensor query_labels, "
        "Tensor key_labels, Tensor? query_order, Tensor? query_offsets, Tensor? key_order, "
        "Tensor? key_offsets, float scale, str empty, str backend, int most_queries=0, "
        "int most_keys=0) "
        "-> (Tensor out, Tensor lse, Tensor lse_rest)"
    )
