# SPDX-License-Identifier: Apache-2.0
"""Layouts where PyTorch handles tensors: loaders, files, pytrees, exported programs."""

import io
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader

from scam.ops import SemanticLayout, semantic_cross_attention
from scam.testing import make_inputs


def layout() -> SemanticLayout:
    return SemanticLayout.build(torch.tensor([[2, 0, 9, 0], [1, -1, 1, 0]]), 3, most=3)


def assert_same(found: SemanticLayout, wanted: SemanticLayout) -> None:
    for name in ("labels", "order", "offsets"):
        assert torch.equal(getattr(found, name), getattr(wanted, name))
    assert (found.num_labels, found.most) == (wanted.num_labels, wanted.most)


def test_the_device_is_that_of_the_tensors() -> None:
    assert layout().device == torch.device("cpu")
    assert layout().to("meta").device == torch.device("meta")


def test_pinning_pins_every_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []

    def pin(tensor: Tensor) -> Tensor:
        pinned.append(tensor)
        return tensor.clone()

    monkeypatch.setattr(Tensor, "pin_memory", pin)  # the real one needs a GPU
    given = layout()
    assert_same(torch.utils.data._utils.pin_memory.pin_memory({"map": given})["map"], given)
    assert [id(tensor) for tensor in pinned] == [
        id(tensor) for tensor in pytree.tree_leaves(given)
    ]


def collated(maps: list[Tensor]) -> SemanticLayout:
    return SemanticLayout.build(torch.stack(maps), 3)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_builds_layouts_of_stacked_maps(workers: int) -> None:
    maps = [torch.full((2, 3), label) for label in (0, 2)]
    loader: DataLoader[Tensor] = DataLoader(
        maps,  # type: ignore[arg-type]
        batch_size=2,
        collate_fn=collated,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )
    batches: Iterator[SemanticLayout] = iter(loader)
    assert_same(next(batches), SemanticLayout.build(torch.stack(maps), 3))


def test_torch_load_reads_a_layout_without_trusting_the_file() -> None:
    file = io.BytesIO()
    torch.save({"layout": layout()}, file)
    file.seek(0)
    assert_same(torch.load(file, weights_only=True)["layout"], layout())


def test_pytrees_map_the_tensors_and_keep_the_numbers() -> None:
    doubled = pytree.tree_map(lambda tensor: 2 * tensor, layout())
    assert torch.equal(doubled.labels, 2 * layout().labels)
    assert (doubled.num_labels, doubled.most) == (3, 3)


class Attend(torch.nn.Module):
    def forward(
        self, query: Tensor, key: Tensor, of_queries: SemanticLayout, of_keys: Tensor
    ) -> Tensor:
        return semantic_cross_attention(query, key, None, of_queries, of_keys)


def test_an_exported_program_takes_a_layout_and_is_read_back() -> None:
    inputs = make_inputs(queries=37, keys=24)
    given = (
        inputs.query,
        inputs.key,
        SemanticLayout.build(inputs.query_labels, 5),
        inputs.key_labels,
    )
    file = io.BytesIO()
    torch.export.save(torch.export.export(Attend(), given), file)
    file.seek(0)
    torch.testing.assert_close(torch.export.load(file).module()(*given), Attend()(*given))
