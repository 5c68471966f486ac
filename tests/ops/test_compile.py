# SPDX-License-Identifier: Apache-2.0
"""torch.compile: whole graphs, any sizes, new labels for free. ``aot_eager`` traces like the
default compiler without the minute of code generation; one test goes through that too."""

from collections.abc import Callable, Iterator

import pytest
import torch

from scam.ops import SemanticLayout, semantic_attention_map, semantic_cross_attention, use_backend
from scam.testing import Inputs, make_inputs


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def loss_of(inputs: Inputs, backend: str | None) -> torch.Tensor:
    query, key, value, *labels = inputs.arguments()
    out, lse = semantic_cross_attention(
        query * 2, key, value, *labels, return_lse=True, backend=backend
    )
    return out.sin().sum() + lse.exp().sum()


def run(function: Callable[..., torch.Tensor], inputs: Inputs, backend: str | None) -> list:
    leaves = inputs.leaves()
    loss = function(leaves, backend)
    loss.backward()
    return [loss.detach(), leaves.query.grad, leaves.key.grad, leaves.value.grad]


def problem(seed: int = 0, queries: int = 37, keys: int = 24) -> Inputs:
    return make_inputs(
        seed=seed, queries=queries, keys=keys, memory="channels_last", heads=4, key_heads=2
    )


def test_full_graph_and_new_labels(backend: str) -> None:
    compiled = torch.compile(loss_of, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(run(compiled, problem(), backend), run(loss_of, problem(), backend))
    with torch._dynamo.config.patch(error_on_recompile=True):
        other = problem(seed=3)
        torch.testing.assert_close(run(compiled, other, backend), run(loss_of, other, backend))


def test_any_size(backend: str) -> None:
    compiled = torch.compile(loss_of, fullgraph=True, dynamic=True, backend="aot_eager")
    run(compiled, problem(), backend)
    with torch._dynamo.config.patch(error_on_recompile=True):
        other = problem(seed=3, queries=51, keys=30)
        torch.testing.assert_close(run(compiled, other, backend), run(loss_of, other, backend))


def test_default_compiler(compiled_backend: str) -> None:
    compiled = torch.compile(loss_of, fullgraph=True)
    torch.testing.assert_close(
        run(compiled, problem(), compiled_backend), run(loss_of, problem(), compiled_backend)
    )


def test_chosen_backend_is_seen_when_it_changes(toy: str) -> None:
    import toy_backend

    compiled = torch.compile(loss_of, fullgraph=True, backend="aot_eager")
    calls = []
    forward = toy_backend.forward

    def counted(*args, **keywords):
        calls.append(1)
        return forward(*args, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_backend, "forward", counted)
        with use_backend("reference"):
            run(compiled, problem(), None)
        assert not calls
        with use_backend("toy"):
            run(compiled, problem(), None)
        assert calls


def test_layouts_in_and_out_of_the_graph(compiled_backend: str) -> None:
    def attend(inputs: Inputs, layout: SemanticLayout) -> torch.Tensor:
        keys = SemanticLayout.build(inputs.key_labels, 5)
        return semantic_cross_attention(
            inputs.query, inputs.key, inputs.value, layout, keys, backend=compiled_backend
        )

    compiled = torch.compile(attend, fullgraph=True, backend="aot_eager")
    first, second = problem(), problem(seed=3)
    layouts = [SemanticLayout.build(inputs.query_labels, 5) for inputs in (first, second)]
    torch.testing.assert_close(compiled(first, layouts[0]), attend(first, layouts[0]))
    with torch._dynamo.config.patch(error_on_recompile=True):
        torch.testing.assert_close(compiled(second, layouts[1]), attend(second, layouts[1]))


def test_a_layout_may_be_the_result() -> None:
    def build(labels: torch.Tensor) -> SemanticLayout:
        return SemanticLayout.build(labels, 4)

    labels = torch.randint(-1, 5, (2, 37))
    compiled = torch.compile(build, fullgraph=True, backend="aot_eager")(labels)
    for name in ("labels", "order", "offsets"):
        assert torch.equal(getattr(compiled, name), getattr(build(labels), name))


def test_attention_map(compiled_backend: str) -> None:
    query, key, _, *labels = problem().arguments()

    def weights(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        with use_backend(compiled_backend):
            return semantic_attention_map(query, key, *labels, max_keys=4)

    expected = weights(query, key)

    def inner(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return semantic_attention_map(query, key, *labels, max_keys=4)

    with use_backend(compiled_backend):
        compiled = torch.compile(inner, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(query, key), expected)


def test_autocast(fused: str) -> None:
    compiled = torch.compile(loss_of, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, wanted = run(compiled, problem(), fused), run(loss_of, problem(), fused)
    torch.testing.assert_close(got, wanted)
    assert not torch.equal(got[0], run(loss_of, problem(), fused)[0])


def test_an_exported_program_takes_more_and_fewer_queries_than_keys(backend: str) -> None:
    class Attend(torch.nn.Module):
        def forward(self, *arguments: torch.Tensor) -> torch.Tensor:
            return semantic_cross_attention(*arguments, backend=backend)

    queries = torch.export.Dim("queries", min=2, max=4096)
    sizes = ({2: queries}, {}, {}, {1: queries}, {})
    arguments = problem().arguments()
    program = torch.export.export(Attend(), arguments, dynamic_shapes=(sizes,)).module()
    for other in (problem(queries=9), problem(queries=70)):
        given = other.arguments()
        expected = semantic_cross_attention(*given, backend=backend)
        torch.testing.assert_close(program(*given), expected)
