# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scam.semia import edits
from scam.semia.edits import draw_edit, fill_holes

Only = Callable[[str], None]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layout() -> Tensor:
    """Sky 0, ground 2, a tree 5 on it, a sun 7 and a patch without a label."""
    labels = torch.zeros(1, 30, 40, dtype=torch.long)
    labels[:, 20:] = 2
    labels[:, 12:18, 6:14] = 5
    labels[:, 18:24, 8:11] = 5
    labels[:, 3:7, 30:35] = 7
    labels[:, 3, 30] = 0
    labels[:, 28:, 36:] = -1
    return labels


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Only:
    """Let one kind of edit be drawn, of whole regions."""

    def choose(edit: str) -> None:
        weights = tuple(int(name == edit) for name in edits._EDITS)
        monkeypatch.setattr(edits, "_WEIGHTS", weights)
        monkeypatch.setattr(edits, "_EXTENT", (3.0, 3.0))

    return choose


def brute_force(labels: Tensor, holes: Tensor) -> Tensor:
    """Squared distance to the nearest known pixel of each label, (labels, holes)."""
    known = (~holes & (labels >= 0)).nonzero()
    away = ((holes.nonzero()[:, None] - known) ** 2).sum(-1)
    owners = labels[known[:, 0], known[:, 1]]
    return torch.stack(
        [away[:, owners == i].amin(1) if (owners == i).any() else away[:, 0] * 0 + 10**6
         for i in range(8)]
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_holes_take_the_nearest_label(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "_CELLS", 100)
    labels = torch.randint(-1, 8, (17, 23), generator=seeded(seed))
    holes = torch.rand(17, 23, generator=seeded(seed)) < 0.93
    filled = fill_holes(labels, holes)
    assert torch.equal(filled[~holes], labels[~holes])
    distances = brute_force(labels, holes)
    chosen = distances.gather(0, filled[holes][None])[0]
    assert torch.equal(chosen, distances.amin(0))


def test_holes_without_any_label_stay_without() -> None:
    labels = torch.full((5, 6), -1)
    labels[2, 2] = 3
    assert (fill_holes(labels, labels == 3) == -1).all()
    assert torch.equal(fill_holes(labels, torch.zeros(5, 6, dtype=torch.bool)), labels)


def test_edits_hold_only_labels_of_the_source_and_are_seeded() -> None:
    labels = layout()
    before = labels.clone()
    kept = 0
    for seed in range(200):
        edited = draw_edit(labels, seeded(seed))
        assert edited.shape == labels.shape
        assert edited.dtype == torch.int64
        assert set(edited.unique().tolist()) <= {-1, 0, 2, 5, 7}
        assert torch.equal(edited, draw_edit(labels, seeded(seed)))
        # What is pasted may cover it; nothing else does.
        assert ((edited == -1) <= (labels == -1)).all()
        kept += torch.equal(edited, labels)
    assert torch.equal(labels, before)
    assert 8 <= kept <= 80
    assert len({draw_edit(labels, seeded(s)).numpy().tobytes() for s in range(50)}) > 30


def test_each_map_of_a_batch_has_its_own_edit() -> None:
    both = layout().repeat(2, 1, 1)
    edited = [draw_edit(both, seeded(s)) for s in range(10)]
    assert any(not torch.equal(*pair) for pair in edited)


def test_removing_leaves_the_surroundings(only: Only) -> None:
    only("remove")
    labels = layout()
    for seed in range(10):
        edited = draw_edit(labels, seeded(seed))
        gone = set(labels.unique().tolist()) - set(edited.unique().tolist())
        assert len(gone) == 1
        (label,) = gone
        assert label != 0  # the one with most pixels
        assert torch.equal(edited[labels != label], labels[labels != label])


def test_moving_keeps_shape_and_copying_keeps_the_original(only: Only) -> None:
    labels = torch.zeros(1, 24, 24, dtype=torch.long)
    labels[:, 10:14, 9:14] = 1
    for edit in ("move", "copy"):
        only(edit)
        places = set()
        for seed in range(20):
            edited = draw_edit(labels, seeded(seed))
            if edit == "copy":
                assert edited[labels == 1].eq(1).all()
            else:
                rows, columns = (edited[0] == 1).nonzero().unbind(1)
                assert edited.sum() == 20
                assert (rows.max() - rows.min(), columns.max() - columns.min()) == (3, 4)
            places.add(edited.numpy().tobytes())
        assert len(places) > 15


def test_flipping_a_symmetric_region_changes_nothing(only: Only) -> None:
    only("flip")
    labels = torch.zeros(1, 20, 20, dtype=torch.long)
    labels[:, 5:9, 3:10] = 1
    assert torch.equal(draw_edit(labels, seeded(0)), labels)
    labels[:, 5, 3:6] = 0
    expected = labels.clone()
    expected[:, :, 3:10] = labels[:, :, 3:10].flip(-1)
    assert torch.equal(draw_edit(labels, seeded(0)), expected)


def test_scaling_keeps_the_foot(only: Only) -> None:
    only("scale")
    labels = torch.zeros(1, 40, 40, dtype=torch.long)
    labels[:, 20:30, 10:21] = 1
    heights = set()
    for seed in range(20):
        rows = (draw_edit(labels, seeded(seed))[0] == 1).any(1).nonzero()
        assert abs(rows.max().item() - 29) <= 1
        heights.add(int(rows.max() - rows.min() + 1))
    assert min(heights) in (7, 8)
    assert max(heights) in (13, 14)


def test_a_map_of_one_label_stays() -> None:
    labels = torch.full((1, 6, 7), 3)
    assert all(torch.equal(draw_edit(labels, seeded(s)), labels) for s in range(20))
    labels = torch.full((1, 6, 7), -1)
    assert all(torch.equal(draw_edit(labels, seeded(s)), labels) for s in range(20))
