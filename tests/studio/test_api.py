# SPDX-License-Identifier: Apache-2.0
"""What every address answers, and that it is what scam.editing makes."""

import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_studio import (
    NAMES,
    SIZE,
    Client,
    as_png,
    draw,
    packed,
    parse,
    upload,
)

from scam.editing.donors import parse_donor
from scam.editing.edit import Settings, edit
from scam.editing.encoded import digest, encode
from scam.editing.styles import fingerprint
from scam.studio.opener import Opener
from scam.studio.session import Session

HOST, SUBJECT, DONOR = draw(1), draw(2), draw(3)


def pixels(client: Client, session: object) -> np.ndarray:
    answer = client.post("/api/result", session)
    assert answer.status == 200, answer.body
    shape = int(answer.headers["scam-height"]), int(answer.headers["scam-width"]), 3
    assert float(answer.headers["scam-milliseconds"]) > 0
    return np.frombuffer(answer.body, np.uint8).reshape(shape)


def as_picture(body: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(body)))


def test_the_model_is_described(client: Client, opener: Opener) -> None:
    found = client.get("/api/model").json
    assert found["model"] == fingerprint(opener.checkpoint.model)
    assert (found["kind"], found["size"], found["device"]) == ("scam", [32, 24], "cpu")
    assert [label["name"] for label in found["labels"]] == list(NAMES)
    assert [label["latents"] for label in found["labels"]] == [3, 2, 2]
    assert [label["mean"] for label in found["labels"]] == [False, True, False]
    assert found["labels"][0]["colour"] == "#262a36"
    assert found["styles_per_label"]
    assert not found["draws_styles"]
    assert found["attention"]
    assert found["layers"][0] == "encoder.0"
    assert found["parser"]
    assert found["examples"] == ["example_0", "example_1", "example_2"]
    assert found["limits"] == {"bytes": 32 << 20, "pixels": 1 << 24}


def test_a_picture_comes_in_and_out(client: Client) -> None:
    picture = draw(5, (20, 10), (-1, 1))
    answer = client.post("/api/pictures", upload(picture)).json
    assert answer == {
        "id": digest(picture),
        "name": "p5",
        "width": 10,
        "height": 20,
        "present": {"1": 0.5},
    }
    photo = client.get(f"/api/pictures/{answer['id']}/photo")
    assert photo.headers["content-type"] == "image/png"
    assert np.array_equal(as_picture(photo.body), picture.photo)
    labels = client.get(f"/api/pictures/{answer['id']}/labels").body
    assert np.array_equal(np.frombuffer(labels, np.uint8) == 255, picture.labels.ravel() < 0)


def test_examples_and_parsed_pictures(client: Client) -> None:
    found = client.post("/api/pictures", {"name": "x", "example": "example_1"}).json
    assert found["id"] == digest(draw(91))
    photo = draw(5).photo
    found = client.post("/api/pictures", {"name": "x", "photo": as_png(photo), "labels": None})
    labels = client.get(f"/api/pictures/{found.json['id']}/labels").body
    assert np.array_equal(np.frombuffer(labels, np.uint8), parse(photo).ravel())


def test_results_are_those_of_the_command_line(client: Client, opener: Opener) -> None:
    known = opener.checkpoint
    styles = [
        {"labels": [1], "latents": [1], "from": {"picture": client.add(DONOR)}, "weight": 0.5}
    ]
    more = {"subject": client.add(SUBJECT), "styles": styles, "paste": 2}
    given = [(parse_donor("hair.1=p:0.5", known), encode(DONOR, known))]
    pose = HOST.labels[::-1].copy()
    host, subject = (HOST, encode(HOST, known)), encode(SUBJECT, known)
    expected = edit(known, Settings(feather=2), host, subject, given, pose)
    session = client.session(HOST, map=packed(pose), **more)
    assert np.array_equal(pixels(client, session), expected.pixels)
    strip = as_picture(client.post("/api/files/strip.png", session).body)
    steps = edit(known, Settings(steps=7, feather=2), host, subject, given, pose)
    assert np.array_equal(strip, steps.pixels)
    for number, amount in enumerate(torch.linspace(0, 1, 7).tolist()):
        at = {**session, "amount": amount}
        assert np.array_equal(pixels(client, at), strip[:, 24 * number : 24 * (number + 1)])


def test_means_and_what_is_lacking(client: Client) -> None:
    plain = client.session(HOST)
    change = {"labels": [1], "latents": None, "from": {"mean": True}, "weight": 1}
    changed = {**plain, "styles": [change]}
    assert not np.array_equal(pixels(client, plain), pixels(client, changed))
    again = {**plain, "styles": [change, {**change, "from": {"picture": plain["host"]}}]}
    assert np.array_equal(pixels(client, plain), pixels(client, again))
    lacking = client.add(draw(7, held=(0, 2)))
    styles = [{**change, "from": {"picture": lacking}}]
    answer = client.post("/api/result", {**plain, "styles": styles})
    assert json.loads(answer.headers["scam-notes"]) == ["hair of p7: hair unchanged"]
    whole = {**plain, "subject": lacking, "absent": "mean"}
    notes = json.loads(client.post("/api/result", whole).headers["scam-notes"])
    assert notes == ["p7: hair from the mean"]


@pytest.mark.parametrize("layer", ["encoder.0", "generator.0.1"])
def test_attention(client: Client, layer: str) -> None:
    session = client.session(HOST)
    asked = {"session": session, "label": 1, "layer": layer}
    answer = client.post("/api/attention", asked)
    names = ("scam-latents", "scam-height", "scam-width")
    shape = tuple(int(answer.headers[name]) for name in names)
    maps = np.frombuffer(answer.body, np.uint8).reshape(shape)
    assert len(maps) == 2
    if layer == "encoder.0":
        assert maps.shape[1:] == SIZE
        assert (maps.max((1, 2)) == 255).all()
        assert not maps[:, HOST.labels != 1].any()
    else:
        assert set(maps.astype(int).sum(0).ravel()) <= {0, 254, 255, 256}
    for name, value in (("label", 3), ("label", True), ("label", -1), ("layer", "x")):
        error = client.post("/api/attention", {**asked, name: value}).error
        assert error.startswith(f"{name}: found {value!r}, expected one of")
    assert "expected session" in client.post("/api/attention", {**asked, "more": 1}).error


def test_pictures_that_were_dropped_are_asked_for(client: Client) -> None:
    session = client.session(HOST)
    for field in ("host", "subject"):
        answer = client.post("/api/result", {**session, field: "0" * 16})
        assert (answer.status, answer.json["gone"]) == (404, "0" * 16)
    change = {"labels": [1], "from": {"picture": "f" * 16}}
    answer = client.post("/api/result", {**session, "styles": [change]})
    assert answer.json["gone"] == "f" * 16
    assert client.get(f"/api/pictures/{'0' * 16}/photo").json["gone"] == "0" * 16
    with_it = {
        **session,
        "subject": digest(draw(60)),
        "pictures": {digest(draw(60)): upload(draw(60))},
    }
    assert client.post("/api/result", with_it).status == 200
    wrong = {**session, "subject": "1" * 16, "pictures": {"1" * 16: upload(draw(61))}}
    assert f"holds {digest(draw(61))}, another image" in client.post("/api/result", wrong).error


def test_the_page_and_nothing_else_is_there(client: Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert client.get("/static/server.js").headers["content-type"].startswith("text/javascript")
    for path in ("/static/", "/static/../app.py", "/static/%2e%2e/app.py", "/app.py", "/api/x",
                 "/static//etc/passwd", "/api/files/../model", "/static/index.html"):  # fmt: skip
        assert client.get(path).status in (404, 405), path
    assert client.ask("DELETE", "/api/model").status == 405
    assert client.post("/api/files/x.png", {}).status == 404


def test_a_session_reads_as_it_is_documented() -> None:
    value = {"format": "scam session 1", "model": "m", "host": "h", "map": packed(HOST.labels)}
    found = Session.read(value)
    assert (found.scene, found.absent, found.styles, found.amount) == ((0,), "related", (), 1)


def test_names_of_any_script(client: Client) -> None:
    lacking = replace(draw(8, held=(0, 2)), name="Zoë's 写真\n")
    change = {"labels": [1], "from": {"picture": client.add(lacking)}}
    answer = client.post("/api/result", client.session(HOST, styles=[change]))
    (note,) = json.loads(answer.headers["scam-notes"])
    assert note == "hair of Zoë's 写真\\n: hair unchanged"
