# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scam.ops import SemanticLayout
from scam.ops.problem import LABEL_DTYPES
from scam.settings import environment


def test_worked_example() -> None:
    labels = torch.tensor([[2, 0, 9, 0, 2, 0], [-1, 1, 1, -3, 1, 1]])
    layout = SemanticLayout.build(labels, 3)
    assert layout.labels.tolist() == [[2, 0, -1, 0, 2, 0], [-1, 1, 1, -1, 1, 1]]
    assert layout.order.tolist() == [[1, 3, 5, 0, 4, 2], [1, 2, 4, 5, 0, 3]]
    assert layout.offsets.tolist() == [[0, 3, 3, 5], [0, 0, 4, 4]]
    assert layout.num_labels == 3
    assert layout.most is None
    assert SemanticLayout.build(labels, 3, 5).to("meta").most == 5


def test_checks_count_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.tensor([0, 1, 1, 1])
    assert SemanticLayout.build(labels, 2, 2).most == 2
    with pytest.raises(ValueError, match="most: expected at least 0, got -1"):
        SemanticLayout.build(labels, 2, -1)
    monkeypatch.setattr(environment, "check", lambda: True)
    assert SemanticLayout.build(labels, 2, 4).most == 4
    with pytest.raises(ValueError, match="most: found 3 elements of a label, expected at most 2"):
        SemanticLayout.build(labels, 2, 2)


@given(
    batch=st.integers(0, 3),
    count=st.integers(0, 200),
    num_labels=st.integers(1, 40),
    spread=st.integers(1, 60),
    dtype=st.sampled_from(LABEL_DTYPES),
    seed=st.integers(0, 1000),
)
def test_what_a_layout_promises(
    batch: int, count: int, num_labels: int, spread: int, dtype: torch.dtype, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randint(-1, spread, (batch, count), generator=random)
    labels = (drawn if dtype.is_signed else drawn.clamp(min=0)).to(dtype)
    layout = SemanticLayout.build(labels, num_labels)
    for tensor in (layout.labels, layout.order, layout.offsets):
        assert tensor.dtype == torch.int32
    for b in range(batch):
        kept = [v if v < num_labels else -1 for v in labels[b].tolist()]
        assert layout.labels[b].tolist() == kept
        order = layout.order[b].tolist()
        sortable = [num_labels if v < 0 else v for v in kept]
        assert order == sorted(range(count), key=lambda i: sortable[i])  # Python's sort is stable
        offsets = layout.offsets[b].tolist()
        assert offsets == [sum(v < s for v in sortable) for s in range(num_labels + 1)]


def test_maps_are_flattened_row_by_row() -> None:
    maps = torch.randint(0, 4, (2, 3, 5), dtype=torch.uint8)
    of_maps, of_rows = (SemanticLayout.build(m, 4) for m in (maps, maps.reshape(2, 15)))
    assert torch.equal(of_maps.labels, of_rows.labels)
    assert torch.equal(of_maps.order, of_rows.order)
    assert SemanticLayout.build(maps.reshape(-1), 4).labels.shape == (1, 30)


def test_huge_labels_do_not_wrap_around() -> None:
    layout = SemanticLayout.build(torch.tensor([[2**32, -(2**32), 1]]), 2)
    assert layout.labels.tolist() == [[-1, -1, 1]]


def test_to_moves_every_tensor() -> None:
    moved = SemanticLayout.build(torch.zeros(1, 4).long(), 2).to("meta")
    for tensor in (moved.labels, moved.order, moved.offsets):
        assert tensor.is_meta
    assert moved.num_labels == 2


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "check", lambda: True)


@pytest.mark.usefixtures("checked")
def test_under_scam_check_a_label_too_large_is_an_error() -> None:
    with pytest.raises(ValueError, match="labels: found 7, expected less than num_labels=5"):
        SemanticLayout.build(torch.tensor([[0, 7, -1]]), 5)
    SemanticLayout.build(torch.tensor([[0, 4, -1]]), 5)
    SemanticLayout.build(torch.zeros(1, 0).long(), 5)


def test_building_reads_no_value() -> None:
    """Shapes alone decide: a synchronising call would fail on meta tensors."""
    layout = SemanticLayout.build(torch.zeros(2, 9, device="meta", dtype=torch.uint8), 4)
    assert layout.offsets.shape == (2, 5)
