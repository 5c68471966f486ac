# SPDX-License-Identifier: Apache-2.0
"""Files out of the page and into it, a reload, and the same pixels without a browser."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scam.data import Mannequins, save_label_png
from scam.studio.__main__ import main

FILES = ("result.png", "labels.png", "sheet.png", "strip.png")


@pytest.fixture
def photo(tmp_path: Path) -> tuple[Path, Path]:
    """A photograph that is not an example, of another size than the model's, and its label map."""
    image, labels = Mannequins("val", 64).load(60, (60, 40))
    Image.fromarray(image).save(tmp_path / "anna.png")
    save_label_png(tmp_path / "anna_labels.png", labels)
    return tmp_path / "anna.png", tmp_path / "anna_labels.png"


def choose(user: Any, button: str, photo: Path, labels: Path) -> None:
    user.page.click(button)
    user.page.set_input_files("#own-photo", photo)
    user.page.set_input_files("#own-labels", labels)
    user.page.get_by_role("button", name="Use this image").click()


def edit(user: Any, photo: tuple[Path, Path]) -> None:
    """A bit of everything that a session holds."""
    choose(user, "#add-donor", *photo)
    user.page.get_by_role("radio", name="anna.png").wait_for()
    assert user.status == "Donor anna.png added."
    user.press("t", "1")
    user.drag((0.2, 0.2), (0.8, 0.3))
    user.page.select_option("#from", "mean")
    user.page.locator("#weight").fill("0.5")
    user.page.locator("#amount").fill("0.8")
    user.settled()


def test_replay_repeats_every_file_to_the_bit(
    user: Any, studio: Any, photo: tuple[Path, Path], tmp_path: Path
) -> None:
    edit(user, photo)
    session = tmp_path / "session.json"
    session.write_bytes(user.download("#save-session"))
    assert json.loads(session.read_bytes())["threads"] >= 1
    main([str(studio.run), "--replay", str(session), "--out", str(tmp_path / "again")])
    for name in FILES:
        downloaded = user.download(f"[data-file='{name}']")
        assert downloaded == (tmp_path / "again" / name).read_bytes(), name
    with Image.open(tmp_path / "again" / "labels.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), user.labels())


def test_a_session_file_opens_in_another_window(
    user: Any, new_user: Any, photo: tuple[Path, Path], tmp_path: Path
) -> None:
    edit(user, photo)
    path = tmp_path / "session.json"
    path.write_bytes(user.download("#save-session"))
    other = new_user()
    other.open()
    start = other.look()
    other.page.set_input_files("#session-file", path)
    other.page.get_by_text("session.json opened.").wait_for()
    assert other.look() == user.look()
    other.press("Control+z")
    assert other.look() == start


def test_wrong_files_get_one_line(user: Any, photo: tuple[Path, Path], tmp_path: Path) -> None:
    user.expected = ["Failed to load resource: the server responded with a status of 400"]
    error = user.page.locator("#error-text")
    for text, words in [("no json", "is not JSON"), ('{"format": 3}', "scam session 1")]:
        (tmp_path / "odd.json").write_text(text)
        user.page.set_input_files("#session-file", tmp_path / "odd.json")
        error.filter(has_text=words).wait_for()
    session = {**user.session(), "model": "0" * 16}
    (tmp_path / "odd.json").write_text(json.dumps(session))
    user.page.set_input_files("#session-file", tmp_path / "odd.json")
    error.filter(has_text="another model").wait_for()
    user.page.click("#add-donor")
    user.page.get_by_role("button", name="Use this image").click()
    refusal = user.page.locator("#own-error")
    assert refusal.inner_text() == "Choose a photograph."
    user.page.set_input_files("#own-photo", photo[0])
    user.page.get_by_role("button", name="Use this image").click()
    assert "scam data label" in refusal.inner_text()
    assert "--parser" in refusal.inner_text()
    user.press("Escape")
    (tmp_path / "broken.png").write_bytes(photo[1].read_bytes()[:200])
    choose(user, "#add-donor", photo[0], tmp_path / "broken.png")
    refusal.filter(has_text="broken.png (label map)").wait_for()
    assert len(refusal.inner_text().splitlines()) == 1
    user.page.set_input_files("#own-labels", photo[0])
    user.page.get_by_role("button", name="Use this image").click()
    refusal.filter(has_text="looks like a photograph").wait_for()
    assert "data label makes them" in refusal.inner_text()


def test_another_host_is_edited_at_its_own_size(user: Any, photo: tuple[Path, Path]) -> None:
    assert " · 48x32 (height x width) · " in user.text("#model")
    before = user.look()
    choose(user, "#change-host", *photo)
    user.page.locator("#host").get_by_text("anna.png").wait_for()
    assert user.status == "Host changed to anna.png; mannequin_val_00000 is a donor now."
    assert user.page.get_by_role("radio", name="mannequin_val_00000").is_visible()
    assert user.labels().shape == (60, 40)
    assert user.look() != before
    user.page.check("#paste")
    user.settled()
    assert user.text("#latency").startswith("60x40 (height x width)")
    user.press("Control+z", "Control+z")
    assert user.look() == before
    assert user.labels().shape == (48, 32)


def test_two_dropped_files_are_a_photograph_and_its_label_map(
    user: Any, photo: tuple[Path, Path]
) -> None:
    drop = """async (target, urls) => {
        const moved = new DataTransfer();
        for (const [name, bytes] of urls) {
            moved.items.add(new File([Uint8Array.from(bytes)], name, { type: 'image/png' }));
        }
        target.dispatchEvent(new DragEvent('drop', { dataTransfer: moved, bubbles: true }));
    }"""
    files = [[path.name, [*path.read_bytes()]] for path in reversed(photo)]
    user.page.locator("#donor-row").evaluate(drop, files)
    names = [
        user.page.locator(f"#own-{kind}").evaluate("input => input.files[0]?.name")
        for kind in ("photo", "labels")
    ]
    assert names == [path.name for path in photo]
    user.page.get_by_role("button", name="Use this image").click()
    user.page.get_by_role("radio", name="anna.png").wait_for()
