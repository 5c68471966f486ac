# SPDX-License-Identifier: Apache-2.0
"""What is generated: transfer, styles, the views of the result, and in which order it is asked."""

import json
import time
from typing import Any

import pytest


def test_transfer_is_one_button_and_can_be_taken_back(user: Any) -> None:
    before = user.look()
    user.page.get_by_role("button", name="Transfer the subject").click()
    after = user.look()
    assert after != before
    assert user.session()["subject"] is not None
    assert user.status == "mannequin_val_00000_session.json saved."
    user.page.get_by_role("radio", name="mannequin_val_00002").click()
    user.page.get_by_role("button", name="Transfer the subject").click()
    assert user.status == "Subject transferred from mannequin_val_00002."
    assert user.look() not in (before, after)
    user.page.get_by_role("button", name="Remove transfer").click()
    assert user.status == "Transfer removed."
    assert user.look() == before


def test_a_label_takes_its_style_from_elsewhere(user: Any) -> None:
    page = user.page
    before = user.look()
    user.press("3")
    looks = {before}
    donor = page.locator("#from option", has_text="mannequin_val_00001").text_content()
    page.select_option("#from", label=donor)
    looks.add(user.look())
    assert user.status == "Style of upper body from mannequin_val_00001."
    page.locator("#weight").fill("0.4")
    looks.add(user.look())
    assert user.status == "Style of upper body at weight 0.40."
    page.get_by_role("checkbox", name="Latent 0").uncheck()
    looks.add(user.look())
    assert user.status == "Style of upper body in latent 1 only."
    page.select_option("#from", "mean")
    looks.add(user.look())
    assert user.status == "Style of upper body from the mean of the training images."
    assert len(looks) == 5
    style = user.session()["styles"]
    assert style == [{"labels": [3], "latents": [1], "weight": 0.4, "from": {"mean": True}}]
    page.locator("#amount").fill("0")
    assert user.look() == before
    assert user.status == "Edit strength 0 %."
    page.locator("#amount").fill("1")
    page.click("#reset")
    assert user.look() == before
    assert user.status == "Style of upper body reset."


def test_a_slider_that_is_let_go_is_one_step(user: Any) -> None:
    before = user.look()
    user.press("t")
    box = user.page.locator("#amount").bounding_box()
    at = [(box["x"] + share * box["width"], box["y"] + 12) for share in (0.98, 0.6, 0.3)]
    user.page.mouse.move(*at[0])
    user.page.mouse.down()
    for place in at[1:]:
        user.page.mouse.move(*place, steps=3)
    user.page.mouse.up()
    assert 0 < user.session()["amount"] < 0.5
    user.press("Control+z")
    assert user.session()["amount"] == 1
    user.press("Control+z")
    assert user.look() == before
    assert user.page.locator("#undo").is_disabled()


def test_the_scene_keeps_what_it_is_told_to(user: Any) -> None:
    user.press("t")
    before = user.look()
    user.press("3")
    user.page.check("#scene")
    assert user.status == "Style of upper body kept in transfers."
    assert user.look() != before
    assert user.session()["scene"] == [0, 3]


def test_each_view_of_the_result_is_another_picture(user: Any) -> None:
    looks = [user.look()]
    for key in "cda":
        user.press(key)
        looks.append(user.look())
    assert user.status == "Attention: yellow pixels read the chosen latent of the chosen label."
    assert user.page.locator("#latent option").all_inner_texts() == ["0", "1"]
    user.page.select_option("#latent", "1")
    looks.append(user.look())
    user.press("3")
    looks.append(user.look())
    assert user.status == "Label 3: upper body."
    names, labels = user.session()["label_names"], user.labels()
    absent = next(label for label in range(len(names)) if label not in labels)
    user.press(str(absent))
    looks.append(user.look())
    assert user.status == f"Attention: no pixel is {names[absent].replace('_', ' ')}."
    user.page.get_by_role("radio", name="Compare").click()
    user.page.locator("#divider").fill("0.1")
    looks.append(user.look())
    assert len(set(looks)) == len(looks)
    user.press("c")
    assert user.look() == looks[0]


def test_the_strip_and_pasting_back(user: Any) -> None:
    user.press("t")
    user.page.click("#show-strip")
    strip = user.page.locator("#strip")
    strip.wait_for()
    user.settled()
    assert strip.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [7 * 32, 48]
    before, source = user.look(), strip.get_attribute("src")
    user.page.check("#paste")
    assert user.look() != before
    assert user.status == "Result pasted back with a soft edge of 4 px."
    assert user.session()["paste"] == 4
    user.settled()
    assert strip.get_attribute("src") != source


COUNT = """() => {
    const real = window.fetch;
    window.flying = 0;
    window.most = 0;
    window.fetch = async (path, ...rest) => {
        if (path !== '/api/result') return real(path, ...rest);
        window.most = Math.max(window.most, ++window.flying);
        return real(path, ...rest).finally(() => { window.flying -= 1; });
    };
}"""


def test_one_request_at_a_time_and_the_newest_wins(user: Any) -> None:
    bodies: list[dict[str, Any]] = []

    def slowly(route: Any) -> None:
        bodies.append(json.loads(route.request.post_data))
        time.sleep(0.1)
        route.continue_()

    user.settled()
    user.page.evaluate(COUNT)
    user.page.route("**/api/result", slowly)
    user.drag(*[(0.1 + 0.08 * step, 0.1) for step in range(10)])
    user.settled()
    assert user.page.evaluate("window.most") == 1
    assert 2 <= len(bodies) < 36
    assert bodies[-1]["map"] == user.session()["map"]


def test_notes_leave_the_map_in_its_place(user: Any) -> None:
    def noted(route: Any) -> None:
        answer = route.fetch()
        notes = json.dumps([f"note {number}" for number in range(4)])
        route.fulfill(response=answer, headers={**answer.headers, "scam-notes": notes})

    before = user.page.locator("#map").bounding_box()
    user.page.route("**/api/result", noted)
    user.drag((0.1, 0.1), (0.3, 0.1))
    user.settled()
    notes = user.page.locator("#notes")
    assert notes.locator("li").count() == 4
    assert user.page.locator("#map").bounding_box() == before
    assert notes.get_attribute("tabindex") == "0"  # so that keys scroll to the last


def test_a_refusal_is_shown_until_the_next_success(user: Any) -> None:
    user.expected = ["Failed to load resource: the server responded with a status of 400"]
    refusal = json.dumps({"error": "map: holds 200, expected labels 0 .. 10 or 255"})
    answer = {"status": 400, "content_type": "application/json", "body": refusal}
    user.page.route("**/api/result", lambda route: route.fulfill(**answer))
    user.drag((0.1, 0.1), (0.3, 0.1))
    alert = user.page.get_by_role("alert").filter(has_text="map: holds 200")
    alert.wait_for()
    user.settled()  # no refusal is on its way any more
    user.page.unroute("**/api/result")
    user.drag((0.1, 0.2), (0.3, 0.2))
    alert.wait_for(state="hidden")


@pytest.mark.parametrize("dropped", ["host", "subject"])
def test_pictures_that_the_server_dropped_are_handed_in_again(user: Any, dropped: str) -> None:
    user.expected = ["Failed to load resource: the server responded with a status of 404"]
    user.press("t")
    user.settled()
    id = user.session()[dropped]
    gone = json.dumps({"error": "it is gone", "gone": id})
    posted = []
    user.page.on(
        "request",
        lambda request: request.url.endswith("/api/pictures") and posted.append(request.url),
    )
    answer = {"status": 404, "content_type": "application/json", "body": gone}
    user.page.route("**/api/result", lambda route: route.fulfill(**answer), times=1)
    before = user.look()
    user.drag((0.1, 0.1), (0.9, 0.4))
    assert user.look() != before
    assert len(posted) == 1
    assert user.page.locator("#error").is_hidden()


def with_model(user: Any, **other: Any) -> None:
    """Opens the page for a model that can do something else."""

    def changed(route: Any) -> None:
        route.fulfill(json={**route.fetch().json(), **other})

    user.page.route("**/api/model", changed)
    user.open()


def test_a_model_without_attention_offers_none(new_user: Any) -> None:
    user = new_user()
    with_model(user, attention=False, layers=[])
    before = user.look()
    user.press("a")
    assert user.look() == before
    assert user.page.get_by_role("radio", name="Attention").count() == 0
    user.press("c")
    assert user.look() != before


def test_without_examples_the_page_asks_for_the_host(new_user: Any) -> None:
    user = new_user()
    model = "**/api/model"
    user.page.route(model, lambda x: x.fulfill(json={**x.fetch().json(), "examples": []}))
    user.page.goto("/")
    user.page.locator("#chooser").wait_for()
    user.press("Escape")
    user.page.locator("#chooser").wait_for(state="hidden")
    user.settled()
    assert user.status == "Choose the photograph to edit."
    assert set(user.page.locator("#labels .share").all_inner_texts()) == {""}


def test_a_model_with_one_style_for_all_says_so(new_user: Any) -> None:
    user = new_user()
    with_model(user, styles_per_label=False)
    assert "one style for the whole image" in user.text("#style")


def test_random_styles_are_drawn_from_a_seed(new_user: Any) -> None:
    user = new_user()
    user.expected = ["Failed to load resource: the server responded with a status of 400"]
    with_model(user, draws_styles=True)
    user.page.select_option("#from", "random")
    assert user.status == "Style of hair drawn at random."
    first = user.session()["styles"][0]["from"]
    user.page.get_by_role("button", name="Another one").click()
    assert first.keys() == {"random"}
    assert user.session()["styles"][0]["from"] != first
