# SPDX-License-Identifier: Apache-2.0
"""The files that a session becomes, and that it becomes them again."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_studio import (
    SIZE,
    Client,
    as_png,
    draw,
    make_opener,
    packed,
    serving,
    tiny,
    upload,
)

from scam.data import LabelValues
from scam.data.picture import palette, read_label_png
from scam.studio.opener import Opener
from scam.studio.replay import replay

HOST, SUBJECT, DONOR = draw(1), draw(2), draw(3)


def test_labels_keep_what_files_mean(client: Client) -> None:
    pose = HOST.labels.copy()
    pose[:2] = -1
    session = client.session(HOST, map=packed(pose))
    body = client.post("/api/files/labels.png", session).body
    picture = Image.open(BytesIO(body))
    assert picture.mode == "P"
    colours = np.asarray(picture.convert("RGB"))
    assert np.array_equal(colours[pose == 2][0], palette(3)[2])
    assert np.array_equal(np.asarray(picture), np.where(pose < 0, 9, pose))


@pytest.mark.parametrize("values", [(0, 2, 0, 1), (2, 0, 1, *[2] * 400), (*[0] * 300, 1, 2)])
def test_label_maps_of_merged_labels_are_read_again(
    values: tuple[int, ...], tmp_path: Path
) -> None:
    known = tiny()
    known.model.about["label_values"] = LabelValues(values).as_dict()
    opener = make_opener(known)
    with serving(opener) as client:
        host = {"name": "x", "example": "example_0"}
        id = client.post("/api/pictures", host).json["id"]
        session = client.session(HOST, host=id) if len(values) < 4 else None
        model = client.get("/api/model").json["model"]
        session = {
            "format": "scam session 1",
            "model": model,
            "host": id,
            "map": packed(HOST.labels),
        }
        body = client.post("/api/files/labels.png", session).body
        (tmp_path / "x.png").write_bytes(body)
        assert np.array_equal(known.label_values.read(tmp_path / "x.png"), HOST.labels)
        assert read_label_png(tmp_path / "x.png").max() == max(values.index(i) for i in range(3))
        session["map"] = packed(np.full(SIZE, -1))
        error = client.post("/api/files/labels.png", session).error
        assert error == "768 pixels have no label, which files of this model cannot say"


def test_a_sheet_shows_who_gave_what(client: Client) -> None:
    subject = client.add(SUBJECT)
    session = client.session(HOST, subject=subject)
    change = {"labels": [1], "latents": None, "from": {"mean": True}, "weight": 1}
    session["styles"] = [change, {**change, "from": {"picture": client.add(DONOR)}}]
    sheet = Image.open(BytesIO(client.post("/api/files/sheet.png", session).body))
    assert sheet.width == 4 + 5 * (24 * 12 + 4)  # subject, donor, background, labels, result


def test_a_session_is_repeated_to_the_bit(client: Client, opener: Opener, tmp_path: Path) -> None:
    parsed = {"name": "parsed", "photo": as_png(DONOR.photo), "labels": None}
    names = [client.post("/api/pictures", given).json["id"] for given in (upload(SUBJECT), parsed)]
    session = client.session(HOST, subject=names[0], paste=3, amount=0.5)
    session["styles"] = [
        {"labels": [1, 2], "latents": [0], "from": {"picture": names[1]}, "weight": 0.25}
    ]
    given = [upload(HOST), upload(SUBJECT), parsed]
    session["pictures"] = dict(zip((session["host"], *names), given, strict=True))
    (tmp_path / "session.json").write_text(json.dumps(session))
    replay(make_opener(), tmp_path / "session.json", tmp_path / "out")
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert sorted(made) == ["labels.png", "result.png", "sheet.png", "strip.png"]
    for name, content in made.items():
        assert client.post(f"/api/files/{name}", session).body == content
    answer = client.post("/api/result", session).body
    assert Image.open(BytesIO(made["result.png"])).tobytes() == answer
