# SPDX-License-Identifier: Apache-2.0
"""A reload: the session, its steps and its pictures are as they were, or a line says why not."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scam.data import Mannequins, save_label_png

SETTLED = 700  # milliseconds; what is kept is kept once nothing has changed for a while


@pytest.fixture
def edited(user: Any, tmp_path: Path) -> Any:
    """Somebody who has added a photograph of her own, transferred it and drawn."""
    image, labels = Mannequins("val", 64).load(60, (60, 40))
    Image.fromarray(image).save(tmp_path / "anna.png")
    save_label_png(tmp_path / "anna_labels.png", labels)
    user.page.click("#add-donor")
    user.page.set_input_files("#own-photo", tmp_path / "anna.png")
    user.page.set_input_files("#own-labels", tmp_path / "anna_labels.png")
    user.page.get_by_role("button", name="Use this image").click()
    user.page.get_by_role("radio", name="anna.png").wait_for()
    user.start = user.look()
    user.press("t")
    user.settled()
    user.page.locator("#weight, #from").first.wait_for()
    user.press("1")
    user.drag((0.2, 0.2), (0.8, 0.3))
    user.settled()
    user.page.wait_for_timeout(SETTLED)
    return user


def expect_told(user: Any, line: str) -> None:
    user.page.locator("#status").filter(has_text=line).wait_for()
    assert len(user.text("#status").splitlines()) == 1


def test_session_and_steps_are_as_they_were(edited: Any) -> None:
    before, session = edited.look(), edited.session()
    edited.press("Control+z")
    undone = edited.look()
    donor = edited.page.get_by_role("radio", name="mannequin_val_00002")
    donor.click()
    edited.press("3", "e", "]")
    width = edited.text("#size-shown")
    edited.page.wait_for_timeout(SETTLED)
    edited.page.reload()
    edited.wait()
    assert edited.status == "The last session in this tab was restored, with its undo steps."
    assert edited.page.locator("#tool-eraser").get_attribute("aria-checked") == "true"
    assert edited.text("#size-shown") == width
    assert edited.look() == undone
    assert donor.get_attribute("aria-checked") == "true"
    assert edited.text("#style-title") == "Style of upper body"
    edited.press("Control+Shift+z")
    assert edited.look() == before
    assert edited.session() == session
    edited.press("Control+z", "Control+z")
    assert edited.look() == edited.start
    assert edited.page.locator("#undo").is_disabled()


def test_pictures_are_handed_in_only_where_the_server_lacks_them(edited: Any) -> None:
    edited.expected = ["Failed to load resource: the server responded with a status of 404"]
    before = edited.look()
    asked = len(edited.asked)
    edited.page.reload()
    edited.wait()
    assert not [url for url in edited.asked[asked:] if url.endswith("/api/pictures")]
    subject = edited.session()["subject"]
    gone = json.dumps({"error": "it is gone", "gone": subject})
    answer = {"status": 404, "content_type": "application/json", "body": gone}
    edited.page.route(f"**/api/pictures/{subject}", lambda route: route.fulfill(**answer))
    asked = len(edited.asked)
    edited.page.reload()
    edited.wait()
    assert edited.look() == before
    assert len([url for url in edited.asked[asked:] if url.endswith("/api/pictures")]) == 1


def refuse(user: Any, id: str, name: str) -> None:
    """The server neither has a picture nor takes it again."""
    user.expected = [
        f"Failed to load resource: the server responded with a status of {status}"
        for status in (400, 404)
    ]
    gone = {"status": 404, "json": {"error": "it is gone", "gone": id}}
    refused = {"status": 400, "json": {"error": "it cannot be read"}}

    def post(route: Any) -> None:
        if json.loads(route.request.post_data)["name"] == name:
            route.fulfill(**refused)
        else:
            route.continue_()

    user.page.route(f"**/api/pictures/{id}", lambda route: route.fulfill(**gone))
    user.page.route("**/api/pictures", post)


def test_a_donor_that_is_gone_is_named(edited: Any) -> None:
    refuse(edited, edited.session()["subject"], "anna.png")
    labels = edited.labels()
    edited.page.reload()
    expect_told(
        edited,
        "anna.png: no longer available; styles taken from it and earlier undo steps are gone.",
    )
    assert edited.page.get_by_role("radio", name="anna.png").count() == 0
    session = edited.session()
    assert session["subject"] is None
    assert (edited.labels() == labels).all()
    assert edited.page.locator("#undo").is_disabled()


def test_a_host_that_is_gone_is_told(edited: Any) -> None:
    edited.page.click("#change-host")
    edited.page.get_by_role("button", name="mannequin_val_00005").click()
    edited.settled()
    edited.page.wait_for_timeout(SETTLED)
    refuse(edited, edited.session()["host"], "mannequin_val_00005")
    edited.page.reload()
    expect_told(edited, "The last session cannot be opened without its host: it cannot be read")


def test_the_session_of_another_model_is_told(edited: Any) -> None:
    def other(route: Any) -> None:
        route.fulfill(json={**route.fetch().json(), "model": "0" * 16})

    edited.expected = ["Failed to load resource: the server responded with a status of 400"]
    edited.page.route("**/api/model", other)
    edited.page.reload()
    expect_told(edited, "made with another model. This is a new one.")


def test_a_removed_donor_comes_back_by_undo(edited: Any) -> None:
    before, session = edited.look(), edited.session()
    anna = edited.page.get_by_role("radio", name="anna.png")
    edited.page.click("#remove-donor")
    anna.wait_for(state="detached")
    after = edited.session()
    assert edited.look() != before
    assert after["subject"] is None
    assert after["pictures"].keys() == session["pictures"].keys() - {session["subject"]}
    edited.page.wait_for_timeout(SETTLED)
    edited.page.reload()
    edited.wait()
    assert anna.count() == 0
    edited.press("Control+z")
    anna.wait_for()
    assert edited.session() == session
    assert edited.look() == before
    anna.click()
    anna.press("Delete")
    anna.wait_for(state="detached")
