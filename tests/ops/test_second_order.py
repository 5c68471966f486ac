# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest
import torch
from torch.autograd import forward_ad

from scam.ops import semantic_cross_attention, semantic_modulation
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


def attend(x: torch.Tensor, backend: str) -> torch.Tensor:
    tokens = torch.linspace(-1, 1, 6 * 8).view(1, 1, 6, 8)
    labels = torch.arange(16) % 3, torch.arange(6) % 3
    pixels = x.flatten(2).mT.unsqueeze(1)
    return semantic_cross_attention(pixels, tokens, tokens, *labels, backend=backend)


def modulate(x: torch.Tensor, backend: str) -> torch.Tensor:
    tokens = torch.linspace(-1, 1, 6 * 8).view(1, 1, 6, 8)
    labels, token_labels = torch.arange(16).view(4, 4) % 3, torch.arange(6) % 3
    rows = (tokens, tokens.sum(-1), tokens, tokens, token_labels)
    return semantic_modulation(x, labels, *rows, backend=backend)


@pytest.mark.parametrize("op", [attend, modulate])
def test_fused_backends_refuse_transforms_they_cannot_differentiate(
    op: Callable[[torch.Tensor, str], torch.Tensor], fused: str
) -> None:
    """They would otherwise give zeros without a word."""
    if op is modulate and fused == "toy":
        pytest.skip("the toy backend attends only")

    def run(x: torch.Tensor) -> torch.Tensor:
        return op(x, fused)

    x = torch.ones(1, 8, 4, 4)
    way_out = r"^semantic_\w+: .*; pass backend='reference'$"
    for transform in (torch.func.grad(lambda x: run(x).sum()), torch.func.jacfwd(run)):
        with pytest.raises(NotImplementedError, match=way_out):
            transform(x)
    with forward_ad.dual_level():
        with pytest.raises(NotImplementedError, match=way_out):
            run(forward_ad.make_dual(x, x))
        torch.testing.assert_close(run(x), op(x, "reference"))


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
