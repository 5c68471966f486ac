# SPDX-License-Identifier: Apache-2.0
"""Tools on the label map: by mouse, finger and keyboard, and all of it undone."""

from typing import Any

import numpy as np
import pytest

from scam.data import Mannequins

HAIR, UPPER_BODY, LOWER_BODY = 1, 3, 4


def test_a_stroke_changes_the_result_and_undo_takes_it_back(user: Any) -> None:
    before, map_before = user.look(), user.look("#map")
    user.press("1", "]", "]")
    user.drag((0.2, 0.2), (0.8, 0.3))
    after = user.look()
    assert after != before
    assert user.look("#map") != map_before
    assert user.status == "Hair drawn (brush)."
    user.press("Control+z")
    assert user.status == "Undone: hair drawn (brush)."
    assert user.look() == before
    assert user.look("#map") == map_before
    user.press("Control+Shift+z")
    assert user.look() == after
    assert user.status == "Redone: hair drawn (brush)."


def test_every_tool_writes_labels_and_undo_goes_back_to_the_start(user: Any) -> None:
    start = user.labels()
    user.press("4")
    user.drag((0.1, 0.1), (0.4, 0.1))
    brushed = user.labels()
    user.press("i")
    assert user.status == "Tool: eyedropper."
    assert set(np.unique(brushed[brushed != start])) == {LOWER_BODY}
    user.press("r")
    user.drag((0.7, 0.75), (0.9, 0.95))
    assert (user.labels()[38:44, 24:28] == LOWER_BODY).all()
    user.press("e")
    user.drag((0.1, 0.1), (0.4, 0.1))
    np.testing.assert_array_equal(user.labels()[:16], start[:16])
    user.press("l", "3")
    user.drag((0.05, 0.7), (0.25, 0.7), (0.25, 0.9), (0.05, 0.9))
    lassoed = user.labels()
    assert (lassoed[36:42, 3:7] == UPPER_BODY).all()
    user.press("f", "1")
    user.click(0.15, 0.8)
    assert not (user.labels()[36:42, 3:7] == UPPER_BODY).any()
    user.press("i")
    user.click(0.8, 0.85)
    assert user.status == "Label 4: lower body."
    chosen = user.page.locator("#labels .label[aria-pressed=true] .number")
    assert chosen.inner_text() == str(LOWER_BODY)
    assert np.unique(user.labels()).max() < 11
    for _ in range(5):
        user.press("Control+z")
    assert user.page.locator("#undo").is_disabled()
    np.testing.assert_array_equal(user.labels(), start)


def test_only_the_chosen_label_is_replaced(user: Any) -> None:
    start = user.labels()
    user.page.select_option("#only", label="background")
    user.press("Escape", "r", "1")
    user.drag((0.02, 0.02), (0.98, 0.98))
    after = user.labels()
    assert set(np.unique(start[start != after])) == {0}
    np.testing.assert_array_equal(after[start != 0], start[start != 0])
    user.drag((0.02, 0.02), (0.98, 0.98))
    assert user.status == "Nothing changed."


def region_of(user: Any, label: int) -> tuple[float, float]:
    """A point inside a label."""
    rows, columns = (user.labels() == label).nonzero()
    middle = len(rows) // 2
    return (columns[middle] + 0.5) / 32, (rows[middle] + 0.5) / 48


def test_a_region_moves_scales_flips_and_goes(user: Any) -> None:
    start = user.labels()
    x, y = region_of(user, UPPER_BODY)
    user.press("v")
    user.drag((x, y), (x - 0.25, y))
    moved = user.labels()
    np.testing.assert_array_equal(moved[:, :24] == 3, (start == 3)[:, 8:])
    user.press("Control+z")
    np.testing.assert_array_equal(user.labels(), start)
    user.click(x, y)
    rows, columns = (start == 3).nonzero()
    corner = ((columns.max() + 1) / 32, (rows.max() + 1) / 48)
    user.drag(corner, (corner[0] + 0.125, corner[1] + 0.125))
    assert user.status == "Region scaled."
    grown = user.labels()
    assert (grown == 3).sum() > (start == 3).sum()
    user.press("j")
    assert (user.labels() != grown).any()
    user.press("Delete")
    assert not (user.labels() == 3).any()
    user.press("Control+z", "Control+z", "Control+z")
    np.testing.assert_array_equal(user.labels(), start)


def test_a_shape_comes_from_the_donor_to_the_place_of_the_hosts(user: Any) -> None:
    start = user.labels()
    _, donor = Mannequins("val", 64).load(1, start.shape)
    names = user.session()["label_names"]
    start_hair, donor_hair = (np.argwhere(labels == HAIR) for labels in (start, donor))
    user.press("1")
    user.page.click("#shape")
    assert "hair taken from mannequin_val_00001, fitted to the host" in user.status
    hair = np.argwhere(user.labels() == HAIR)
    assert hair[:, 0].min() == start_hair[:, 0].min() != donor_hair[:, 0].min()
    assert abs(hair.mean(0)[1] - start_hair.mean(0)[1]) < 1
    assert len(hair) > len(start_hair)
    user.page.click("#undo")
    np.testing.assert_array_equal(user.labels(), start)
    missing = next(x for x in np.unique(donor) if x not in start)
    user.press(str(missing))
    user.page.click("#shape")
    assert user.status.endswith("left where it is there, as the host has none.")
    np.testing.assert_array_equal(user.labels() == missing, donor == missing)
    user.page.get_by_role("radio", name="mannequin_val_00002").click()
    assert user.status == "Donor: mannequin_val_00002."
    user.page.click("#shape")
    name = names[missing].replace("_", " ")
    assert user.status == f"Donor mannequin_val_00002 has no {name}."


def test_labels_can_be_hidden_and_have_shares(user: Any) -> None:
    drawn = user.look("#map")
    user.page.get_by_role("button", name="Draw background").click()
    assert user.look("#map") != drawn
    user.page.get_by_role("button", name="Draw background").click()
    assert user.look("#map") == drawn
    share = user.page.locator("#labels .share").first
    assert share.inner_text() == f"{round(100 * (user.labels() == 0).mean())} %"
    name = user.page.locator("#labels .name").first
    name.evaluate("name => { name.textContent = 'upper clothes, long'; }")
    assert not name.evaluate("name => name.scrollWidth > name.clientWidth")


def test_the_keyboard_alone_paints(user: Any) -> None:
    start = user.labels()
    user.page.locator("#map").focus()
    user.press("1", "Enter", *["ArrowRight"] * 5, "Enter")
    painted = user.labels()
    assert (painted[24, 16:21] == 1).all()
    user.page.locator("#map").focus()
    user.press("r", "Enter", "Shift+ArrowDown", "Escape")
    np.testing.assert_array_equal(user.labels(), painted)
    user.press("Control+z")
    np.testing.assert_array_equal(user.labels(), start)


def test_wheel_and_space_bar_zoom_and_move_both_pictures(user: Any) -> None:
    looks = [(user.look("#map"), user.look())]
    user.page.mouse.move(*user.at(0.5, 0.3))
    user.page.mouse.wheel(0, -500)
    looks.append((user.look("#map"), user.look()))
    user.page.keyboard.down(" ")
    user.drag((0.5, 0.5), (0.6, 0.6))
    user.page.keyboard.up(" ")
    looks.append((user.look("#map"), user.look()))
    assert len({look for pair in looks for look in pair}) == 6
    assert user.page.locator("#undo").is_disabled()
    user.page.click("#zoom-fit")
    assert (user.look("#map"), user.look()) == looks[0]


@pytest.mark.parametrize("width", [820, 390])
def test_a_finger_paints_and_two_fingers_zoom(new_user: Any, width: int) -> None:
    user = new_user(viewport={"width": width, "height": 1100}, has_touch=True)
    user.open()
    user.page.locator("#map").scroll_into_view_if_needed()
    start, drawn = user.labels(), user.look("#map")
    touch = user.context.new_cdp_session(user.page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        places = [user.at(*point) for point in points]
        touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    send("touchStart", (0.4, 0.5))
    send("touchStart", (0.4, 0.5), (0.6, 0.5))
    send("touchMove", (0.2, 0.5), (0.8, 0.5))
    send("touchEnd")
    assert user.look("#map") != drawn
    np.testing.assert_array_equal(user.labels(), start)
    user.page.click("#zoom-fit")
    send("touchStart", (0.1, 0.1))
    send("touchMove", (0.4, 0.1))
    send("touchEnd")
    assert (user.labels()[5, 5:12] == 1).all()
