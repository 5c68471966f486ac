# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from scam.ops import SemanticLayout, attention_library
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
