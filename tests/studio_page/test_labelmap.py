# SPDX-License-Identifier: Apache-2.0
"""The page's arithmetic of label maps against small expected arrays and slow references."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# {bytes: [...]} stands for a Uint8Array on the way in, a list for any array on the way out.
CALL = """async ([file, name, given]) => {
    const typed = (value) => {
        if (value === null || typeof value !== 'object') return value;
        if (value.bytes) return Uint8Array.from(value.bytes);
        if (Array.isArray(value)) return value.map(typed);
        return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, typed(each)]));
    };
    const plain = (value) => JSON.parse(JSON.stringify(value ?? null, (_, each) => (
        ArrayBuffer.isView(each) ? [...each] : each
    )));
    const module = await import(`/static/${file}.js`);
    const values = typed(given);
    return plain({ found: module[name](...values) ?? null, first: values[0] });
}"""


@pytest.fixture(scope="module")
def call(browser: Any, studio: Any) -> Iterator[Any]:
    """call(file, function, *arguments): what it returns, and what it made of the first."""
    page = browser.new_page()
    page.goto(f"{studio.address}static/masks.js")

    def run(file: str, name: str, *given: Any) -> tuple[Any, Any]:
        answer = page.evaluate(CALL, [file, name, list(given)])
        return answer["found"], answer["first"]

    yield run
    page.close()


def packed(labels: NDArray[Any]) -> dict[str, Any]:
    return {"bytes": labels.astype(int).ravel().tolist()}


def as_map(labels: Labels) -> dict[str, Any]:
    height, width = labels.shape
    return {"labels": packed(labels), "width": width, "height": height}


def as_labels(found: dict[str, Any]) -> Labels:
    return np.reshape(found["labels"], (found["height"], found["width"])).astype(np.uint8)


def empty(*shape: int) -> dict[str, Any]:
    return as_map(np.zeros(shape, np.uint8))


def point(x: float, y: float) -> dict[str, float]:
    return {"x": x, "y": y}


def covered(mask: dict[str, Any], shape: tuple[int, int]) -> Mask:
    whole = np.zeros(shape, bool)
    bits = np.reshape(mask["bits"], (mask["height"], mask["width"])).astype(bool)
    y, x = mask["y"], mask["x"]
    whole[y : y + mask["height"], x : x + mask["width"]] = bits
    return whole


def as_mask(whole: Mask, x: int = 0, y: int = 0) -> dict[str, Any]:
    height, width = whole.shape
    return {"x": x, "y": y, "width": width, "height": height, "bits": packed(whole)}


def picture(seed: int, shape: tuple[int, int] = (13, 17), labels: int = 4) -> Labels:
    return np.random.default_rng(seed).integers(0, labels, shape).astype(np.uint8)


def drawn(text: str) -> Mask:
    return np.array([[letter == "#" for letter in line] for line in text.split()])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, "....... ....... ...#... ....... ....... ......."),
        (2, "....... ....... ...##.. ...##.. ....... ......."),
        (3, "....... ..###.. ..###.. ..###.. ....... ......."),
        (4, "....... ...##.. ..####. ..####. ...##.. ......."),
    ],
)
def test_a_dab_is_round_and_as_wide_as_it_says(call: Any, size: int, expected: str) -> None:
    found, _ = call("masks", "stroke", empty(6, 7), point(3.6, 2.6), point(3.6, 2.6), size)
    np.testing.assert_array_equal(covered(found, (6, 7)), drawn(expected))


def snapped(at: float, size: int) -> float:
    return np.floor(at) + 0.5 if size % 2 else np.floor(at + 0.5)


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_a_stroke_is_all_pixels_near_the_line(call: Any, size: int) -> None:
    shape = (24, 30)
    rng = np.random.default_rng(size)
    for _ in range(5):
        a, b = rng.uniform(-4, 30, (2, 2))
        found, _ = call("masks", "stroke", empty(*shape), point(*a), point(*b), size)
        (ax, ay), (bx, by) = ([snapped(at, size) for at in end] for end in (a, b))
        along = np.linspace(0, 1, 4001)[:, None, None]
        rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
        nearest = np.hypot(ax + along * (bx - ax) - columns, ay + along * (by - ay) - rows).min(0)
        wrong = covered(found, shape) != (nearest <= size / 2)
        assert not (wrong & (abs(nearest - size / 2) > 1e-3)).any()


def test_a_thin_stroke_has_no_gaps(call: Any) -> None:
    found, _ = call("masks", "stroke", empty(20, 40), point(1, 2), point(38, 15), 1)
    assert covered(found, (20, 40))[:, 1:39].any(0).all()


def test_rectangle_takes_both_corners_in_any_order(call: Any) -> None:
    expected = drawn("...... ..###. ..###. ......")
    for a, b in [((2.2, 1.9), (4.1, 2.1)), ((4.9, 2.9), (2.0, 1.0))]:
        found, _ = call("masks", "rectangle", empty(4, 6), point(*a), point(*b))
        np.testing.assert_array_equal(covered(found, (4, 6)), expected)


def test_lasso_is_the_inside_by_even_and_odd(call: Any) -> None:
    shape = (16, 16)
    corners = np.random.default_rng(3).uniform(-2, 18, (7, 2))
    points = [point(*corner) for corner in corners]
    found, _ = call("masks", "polygon", empty(*shape), points)
    expected = np.zeros(shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, 0), strict=True):
        for row in range(shape[0]):
            y = row + 0.5
            if min(ay, by) <= y < max(ay, by):
                crossing = ax + (y - ay) / (by - ay) * (bx - ax)
                expected[row, np.arange(shape[1]) + 0.5 < crossing] ^= True
    np.testing.assert_array_equal(covered(found, shape), expected)


def test_fill_takes_what_hangs_together(call: Any) -> None:
    labels = picture(1, labels=2)
    expected = np.zeros(labels.shape, bool)
    expected[6, 8] = True
    while True:
        grown = expected.copy()
        grown[1:] |= expected[:-1]
        grown[:-1] |= expected[1:]
        grown[:, 1:] |= expected[:, :-1]
        grown[:, :-1] |= expected[:, 1:]
        grown &= labels == labels[6, 8]
        if (grown == expected).all():
            break
        expected = grown
    found, _ = call("masks", "connected", as_map(labels), point(8.5, 6.5))
    np.testing.assert_array_equal(covered(found, labels.shape), expected)


@pytest.mark.parametrize("mirrored", [{"x": False, "y": False}, {"x": True, "y": True}])
def test_a_region_moves_scales_and_flips(call: Any, mirrored: dict[str, bool]) -> None:
    source = picture(2, (5, 4), 2).astype(bool)
    box = {"x": 10, "y": -2, "width": 9, "height": 7}
    found, _ = call("masks", "transformed", as_map(picture(0)), as_mask(source), box, mirrored)
    expected = np.zeros((13, 17), bool)
    for row in range(7):
        for column in range(9):
            y, x = int((row + 0.5) * 5 / 7), int((column + 0.5) * 4 / 9)
            y, x = (4 - y if mirrored["y"] else y), (3 - x if mirrored["x"] else x)
            if 0 <= row - 2 < 13 and column + 10 < 17:
                expected[row - 2, column + 10] = source[y, x]
    np.testing.assert_array_equal(covered(found, (13, 17)), expected)


def test_all_of_a_label(call: Any) -> None:
    labels = picture(4)
    found, _ = call("masks", "ofLabel", as_map(labels), 2)
    np.testing.assert_array_equal(covered(found, labels.shape), labels == 2)
    assert call("masks", "ofLabel", as_map(labels), 9)[0] is None


def test_paint_and_restore_touch_only_what_may_be_replaced(call: Any) -> None:
    labels, reached = picture(5), picture(6, labels=2).astype(bool)
    over = packed(np.arange(256) == 3)
    allowed = reached & (labels == 3)
    _, left = call("labelmap", "paint", as_map(labels), as_mask(reached), 7)
    np.testing.assert_array_equal(as_labels(left), np.where(reached, 7, labels))
    _, left = call("labelmap", "paint", as_map(labels), as_mask(reached), 7, over)
    np.testing.assert_array_equal(as_labels(left), np.where(allowed, 7, labels))
    source = picture(8)
    rest = (as_mask(reached), packed(source), over)
    _, left = call("labelmap", "restore", as_map(labels), *rest)
    np.testing.assert_array_equal(as_labels(left), np.where(allowed, source, labels))


def healed(labels: Labels, hole: Mask) -> Labels:
    """In rounds: the label above, else left, right, below, of what is known by then."""
    labels, hole = labels.copy(), hole.copy()
    height, width = labels.shape
    while True:
        found = {}
        for y, x in zip(*hole.nonzero(), strict=True):
            for v, u in [(y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)]:
                if 0 <= v < height and 0 <= u < width and not hole[v, u]:
                    found[y, x] = labels[v, u]
                    break
        if not found:
            return labels
        for at, label in found.items():
            labels[at] = label
            hole[at] = False


def test_a_deleted_region_gets_the_labels_around(call: Any) -> None:
    line = np.array([[1, 9, 9, 9, 2]], np.uint8)
    _, left = call("labelmap", "heal", as_map(line), as_mask(line == 9))
    np.testing.assert_array_equal(as_labels(left), [[1, 1, 1, 2, 2]])
    for seed in range(4):
        labels, hole = picture(seed), picture(seed + 9) > 0
        _, left = call("labelmap", "heal", as_map(labels), as_mask(hole))
        np.testing.assert_array_equal(as_labels(left), healed(labels, hole))


def test_a_shape_hangs_from_the_upper_half_of_another(call: Any) -> None:
    shape = as_mask(drawn("#### #..# #..."), 1, 2)
    place = as_mask(drawn(".## .## ### ###"), 20, 5)
    found, _ = call("masks", "aligned", shape, place, 2)
    assert found == {"x": 18, "y": 5, "width": 8, "height": 6}
    found, _ = call("masks", "scaled", shape, 3, 0.1)
    assert found == {"x": 3, "y": 0, "width": 12, "height": 1}


def test_shares(call: Any) -> None:
    labels = picture(7)
    labels[0, 0] = 255
    found, _ = call("labelmap", "shares", as_map(labels))
    np.testing.assert_allclose(found, np.bincount(labels.ravel(), minlength=256) / labels.size)


def test_history_keeps_the_changed_rectangle(call: Any) -> None:
    before, after = picture(1), picture(1)
    after[4:7, 5:11] = 9
    change, _ = call("history", "difference", as_map(before), as_map(after))
    assert [change[key] for key in ("x", "y", "width", "height")] == [5, 4, 6, 3]
    assert change["before"] == before[4:7, 5:11].ravel().tolist()
    assert call("history", "difference", as_map(before), as_map(before))[0] is None
    undone, _ = call("history", "applied", as_map(after), both_packed(change), "before")
    redone, _ = call("history", "applied", as_map(before), both_packed(change), "after")
    np.testing.assert_array_equal(as_labels(undone), before)
    np.testing.assert_array_equal(as_labels(redone), after)


def both_packed(change: dict[str, Any]) -> dict[str, Any]:
    return {**change, **{side: {"bytes": change[side]} for side in ("before", "after")}}
