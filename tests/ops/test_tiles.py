# SPDX-License-Identifier: Apache-2.0
"""Sorted sides, tiles and pieces: every wide item once, one label a tile, bounded partial rows."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scam.ops import SemanticLayout
from scam.ops.problem import LABEL_DTYPES
from scam.ops.sorting import SMALL_DTYPES, SortedSides, sort_sides
from scam.ops.tiles import cut, split

NONE = (None, None)


def sides(
    wide: Tensor, narrow: Tensor, known: tuple[int | None, int | None]
) -> tuple[tuple[Tensor, Tensor], tuple[tuple, tuple]]:
    """Labels and what their layouts give, for as many labels as ``known`` says (None: raw)."""
    labels, layouts = [], []
    for side, count in zip((wide, narrow), known, strict=True):
        layout = None if count is None else SemanticLayout.build(side, count)
        labels.append(side if layout is None else layout.labels)
        layouts.append(NONE if layout is None else (layout.order, layout.offsets))
    return (labels[0], labels[1]), (layouts[0], layouts[1])


def check_tiles(
    made: SortedSides, tiles: Tensor, tile: int, wide: list[int], narrow: list[int], b: int
) -> None:
    """Hold batch element ``b`` against its labels, ignored ones negative."""
    order, narrow_order = made.order[b].tolist(), made.narrow_order[b].tolist()
    assert sorted(order) == list(range(len(wide)))
    assert sorted(narrow_order) == list(range(len(narrow)))
    covered, met_by = [], set()
    for begin, end, first, last in tiles[b].tolist():
        if begin == end:
            assert (begin, end, first, last) == (0, 0, 0, 0)
            continue
        assert 0 < end - begin <= tile
        covered += range(begin, end)
        items, met = order[begin:end], narrow_order[first:last]
        assert items == sorted(items)
        assert met == sorted(met)
        for item in items:
            seen = [j for j, label in enumerate(narrow) if label == wide[item] >= 0]
            assert met == seen
        met_by |= set(met)
    assert covered == list(range(len(wide)))
    assert met_by == {j for j, label in enumerate(narrow) if label >= 0 and label in wide}


def check_pieces(made: SortedSides, tile: int, pieces: int, rows: int, b: int) -> None:
    parts, whole = split(made, tile, pieces, rows), cut(made, tile)
    assert parts.pieces.shape[1] == min(whole.shape[1], made.offsets.shape[1] + pieces)
    assert parts.rows == made.narrow_order.shape[1] + rows
    tiles, reached = [], Counter()
    for begin, end, first, last, row in parts.pieces[b].tolist():
        tiles += [
            [start, min(start + tile, end), first, last] for start in range(begin, end, tile)
        ]
        for position in range(first, last):
            reached[position, row + position - first] += 1
    assert tiles == [row for row in whole[b].tolist() if row[1] > row[0]]
    assert all(0 <= row < parts.rows for _, row in reached)
    assert len({row for _, row in reached}) == len(reached)
    expected = Counter(
        (position, start + step * i)
        for position, (start, step, count) in enumerate(parts.spans[b].tolist())
        for i in range(count)
    )
    assert reached == expected


@given(
    batch=st.integers(0, 2),
    wide=st.integers(0, 90),
    narrow=st.integers(0, 24),
    spread=st.integers(1, 12),
    tile=st.integers(1, 20),
    known=st.tuples(*[st.one_of(st.none(), st.integers(1, 12))] * 2),
    dtype=st.sampled_from(LABEL_DTYPES),
    pieces=st.integers(1, 40),
    rows=st.integers(0, 60),
    seed=st.integers(0, 1000),
)
def test_what_the_tables_promise(
    batch: int,
    wide: int,
    narrow: int,
    spread: int,
    tile: int,
    known: tuple[int | None, int | None],
    dtype: torch.dtype,
    pieces: int,
    rows: int,
    seed: int,
) -> None:
    random = torch.Generator().manual_seed(seed)
    lowest = -2 if dtype.is_signed else 0
    drawn = [
        torch.randint(lowest, spread, (batch, count), generator=random).to(dtype)
        for count in (wide, narrow)
    ]
    labels, layouts = sides(drawn[0], drawn[1], known)
    made = sort_sides(*zip(labels, layouts, strict=True))
    unknown = min(narrow, SMALL_DTYPES.get(dtype, narrow))
    groups = next((count for count in known if count is not None), unknown) + 1
    tiles = cut(made, tile)
    assert tiles.shape == (batch, -(-wide // tile) + groups, 4)
    for tensor in (*vars(made).values(), tiles):
        assert tensor.dtype == torch.int32
    for b in range(batch):
        visible = [
            [v if v >= 0 and all(c is None or v < c for c in known) else -1 for v in side]
            for side in (drawn[0][b].tolist(), drawn[1][b].tolist())
        ]
        check_tiles(made, tiles, tile, *visible, b)
        check_pieces(made, tile, pieces, rows, b)


def test_worked_example() -> None:
    wide = torch.tensor([[7, 2, -1, 7, 7, 9]])
    narrow = torch.tensor([[2, -5, 7, 7, 4]])
    made = sort_sides((wide, NONE), (narrow, NONE))
    assert made.order.tolist() == [[1, 0, 3, 4, 2, 5]]
    assert made.narrow_order.tolist() == [[0, 4, 2, 3, 1]]
    used = [[0, 1, 0, 1], [1, 3, 2, 4], [3, 4, 2, 4], [4, 6, 0, 0]]
    assert cut(made, 2).tolist() == [used + [[0, 0, 0, 0]] * 5]
    parts = split(made, 2, 9, 20)
    assert parts.pieces[0, :4].tolist() == [[0, 1, 0, 1, 0], [1, 3, 2, 4, 1], [3, 4, 2, 4, 3],
                                            [4, 6, 0, 0, 5]]  # fmt: skip
    assert parts.spans.tolist() == [[[0, 1, 1], [0, 0, 0], [1, 2, 2], [2, 2, 2], [0, 0, 0]]]
    assert split(made, 2, 9, 0).spans.tolist()[0][2] == [1, 2, 1]


@pytest.mark.parametrize("known", [NONE, (3, 3), (3, None), (None, 3)])
def test_layouts_and_raw_labels_give_the_same_tiles(known: tuple[int | None, int | None]) -> None:
    wide, narrow = torch.randint(-1, 3, (2, 50)), torch.randint(0, 3, (2, 9))
    labels, layouts = sides(wide, narrow, known)
    made = cut(sort_sides(*zip(labels, layouts, strict=True)), 8)
    raw = cut(sort_sides((wide, NONE), (narrow, NONE)), 8)
    for b in range(2):
        used = [[tile for tile in tiles[b].tolist() if tile[2] < tile[3]] for tiles in (made, raw)]
        assert used[0] == used[1]


def test_labels_are_compared_in_full() -> None:
    far = 2**62
    wide, narrow = torch.tensor([[far + 1, 1, 255]]), torch.tensor([[far + 1, 1 - 2**32, 255]])
    tiles = cut(sort_sides((wide, NONE), (narrow, NONE)), 4)
    met = {tuple(tile[2:]) for tile in tiles[0].tolist() if tile[1] > tile[0]}
    assert met == {(0, 1), (1, 2), (0, 0)}
    small = sort_sides((wide[:, 2:].to(torch.uint8), NONE), (narrow[:, 2:], NONE))
    assert cut(small, 4)[0, 0].tolist() == [0, 1, 0, 1]


def test_the_largest_label_is_a_label() -> None:
    largest = torch.tensor([[2**63 - 1, -1]])
    tiles = cut(sort_sides((largest, NONE), (largest, NONE)), 4)
    assert tiles[0, :2].tolist() == [[0, 1, 0, 1], [1, 2, 0, 0]]


def test_worst_labels_stay_within_the_rows_promised() -> None:
    """Half of the wide items in one label that all narrow items carry, the rest scattered."""
    wide = torch.cat((torch.zeros(512), torch.arange(512))).long()[None]
    narrow = torch.zeros(1, 64).long()
    for known in (NONE, (512, 512)):
        labels, layouts = sides(wide, narrow, known)
        check_pieces(sort_sides(*zip(labels, layouts, strict=True)), 4, 32, 100, 0)


def test_planning_reads_no_value() -> None:
    """Shapes alone decide: a synchronising call would fail on meta tensors."""
    wide, narrow = (torch.zeros(2, n, device="meta", dtype=torch.uint8) for n in (9, 4))
    made = sort_sides((wide, NONE), (narrow, NONE))
    assert cut(made, 4).shape == (2, 3 + 4 + 1, 4)
    assert split(made, 4, 2, 10).pieces.shape == (2, 7, 5)
    layout = SemanticLayout.build(wide, 6)
    made = sort_sides((layout.labels, (layout.order, layout.offsets)), (narrow, NONE))
    assert cut(made, 4).shape == (2, 3 + 6 + 1, 4)


def test_compiles_in_one_graph() -> None:
    def made(wide: Tensor, narrow: Tensor) -> tuple[Tensor, ...]:
        sides = sort_sides((wide, NONE), (narrow, NONE))
        parts = split(sides, 4, 3, 10)
        return cut(sides, 4), parts.pieces, parts.spans

    wide, narrow = torch.randint(0, 5, (2, 30)), torch.randint(0, 5, (2, 8))
    compiled = torch.compile(made, fullgraph=True, backend="aot_eager")
    for got, expected in zip(compiled(wide, narrow), made(wide, narrow), strict=True):
        assert torch.equal(got, expected)


def test_labels_of_a_small_dtype_that_one_side_lacks_are_ignored() -> None:
    wide, narrow = torch.tensor([[9, 2, 200, 9]]), torch.tensor([[200, 5, 200]])
    made = sort_sides((wide.to(torch.uint8), NONE), (narrow, NONE))
    assert made.order.tolist() == [[2, 0, 1, 3]]
    assert made.offsets.tolist() == [[0, 0, 1, 1]]
    assert made.narrow_order.tolist() == [[1, 0, 2]]
    assert made.narrow_offsets.tolist() == [[0, 1, 3, 3]]
