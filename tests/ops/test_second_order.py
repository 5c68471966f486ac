# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from scam.ops import semantic_cross_attention
from scam.testing import make_inputs


def first_gradient(backend: str) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = make_inputs().leaves()
    out = semantic_cross_attention(*inputs.arguments(), backend=backend)
    (gradient,) = torch.autograd.grad(out.square().sum(), inputs.query, create_graph=True)
    return gradient, inputs.query


def test_fused_backends_refuse_and_name_the_way_out(fused: str) -> None:
    gradient, query = first_gradient(fused)
    with pytest.raises(NotImplementedError, match="backend='reference'"):
        torch.autograd.grad(gradient.square().sum(), query)


def test_a_first_gradient_with_its_graph_is_right(fused: str) -> None:
    torch.testing.assert_close(first_gradient(fused)[0], first_gradient("reference")[0])


@pytest.mark.parametrize("empty", ["zero", "uniform"])
def test_the_reference_gives_any_order(empty: str) -> None:
    inputs = make_inputs(
        batch=1,
        heads=2,
        key_heads=1,
        queries=4,
        keys=4,
        width=2,
        num_labels=3,
        dtype=torch.float64,
    ).leaves()

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> tuple:
        out, lse = semantic_cross_attention(
            query,
            key,
            value,
            inputs.query_labels,
            inputs.key_labels,
            empty=empty,
            return_lse=True,
            backend="reference",
        )
        return out, lse.masked_fill(lse.isinf(), 0)

    assert torch.autograd.gradgradcheck(attend, (inputs.query, inputs.key, inputs.value))


def test_the_reference_takes_functional_transforms() -> None:
    query, key, value, *labels = make_inputs().arguments()

    def loss(query: torch.Tensor) -> torch.Tensor:
        out = semantic_cross_attention(query, key, value, *labels, backend="reference")
        return out.square().sum()

    leaf = query.clone().requires_grad_()
    loss(leaf).backward()
    torch.testing.assert_close(torch.func.grad(loss)(query), leaf.grad)
    both = torch.func.vmap(loss)(torch.stack((query, 2 * query)))
    torch.testing.assert_close(both, torch.stack((loss(query), loss(2 * query))))
