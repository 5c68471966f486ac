# SPDX-License-Identifier: Apache-2.0
"""One picture under other label maps: what the server answers, and the same without a browser."""

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_studio import Client, make_opener, packed, serving

from scam import semia
from scam.errors import InputError
from scam.semia.vocabulary import Vocabulary
from scam.studio.__main__ import main
from scam.studio.analogies import AnalogyOpener
from scam.studio.session import Session
from scam.studio.work import AbandonedError


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``python -m scam.semia train`` leaves, of a small lake."""
    folder = tmp_path_factory.mktemp("semia") / "lake"
    source = semia.example(32, 48)
    semia.learn(source.image, source.labels, out=folder)
    return folder


@pytest.fixture(scope="module")
def opener(lake: Path) -> AnalogyOpener:
    return AnalogyOpener(lake, torch.device("cpu"))


@pytest.fixture(scope="module")
def client(opener: AnalogyOpener) -> Iterator[Client]:
    with serving(opener) as found:
        yield found


@pytest.fixture(scope="module")
def session(client: Client) -> dict[str, Any]:
    """The boat is removed."""
    model = client.get("/api/model").json
    (name,) = model["examples"]
    host = client.post("/api/pictures", {"name": name, "example": name}).json["id"]
    labels = semia.example(32, 48).targets["remove"].numpy()
    return {
        "format": "scam session 1",
        "model": model["model"],
        "host": host,
        "pictures": {host: {"name": name, "example": name}},
        "map": packed(labels),
        "subject": None,
        "scene": [0],
        "styles": [],
        "amount": 1,
        "paste": None,
        "refine": 0,
    }


def test_the_source_is_described(client: Client, opener: AnalogyOpener) -> None:
    found = client.get("/api/model").json
    assert (found["title"], found["kind"], found["size"]) == ("lake", "semia, patches", [32, 48])
    assert [label["name"] for label in found["labels"]] == [f"label {n}" for n in range(6)]
    assert not any(found[what] for what in ("lends", "attention", "parser"))
    assert found["slow"]
    assert found.keys() == make_opener().describe().keys()
    assert found["files"] == ["result.png", "labels.png", "sheet.png"]
    assert found["model"] == AnalogyOpener(opener.stored.path, torch.device("cpu")).model


def test_results_are_those_of_semia(client: Client, lake: Path, session: dict[str, Any]) -> None:
    answer = client.post("/api/result", session)
    made = semia.load(lake)(semia.example(32, 48).targets["remove"])
    assert answer.body == made.permute(1, 2, 0).contiguous().numpy().tobytes()
    source = semia.example(32, 48)
    same = client.post("/api/result", {**session, "map": packed(source.labels.numpy())})
    assert same.body == source.image.permute(1, 2, 0).contiguous().numpy().tobytes()


def test_a_session_is_repeated(
    client: Client, lake: Path, session: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "s.json").write_text(json.dumps(session))
    out = tmp_path / "again"
    main([str(lake), "--replay", str(tmp_path / "s.json"), "--out", str(out)])
    assert sorted(path.name for path in out.iterdir()) == ["labels.png", "result.png", "sheet.png"]
    for path in out.iterdir():
        assert client.post(f"/api/files/{path.name}", session).body == path.read_bytes()
    with Image.open(out / "labels.png") as labels:
        assert np.array_equal(labels, semia.example(32, 48).targets["remove"].numpy())


def test_label_maps_are_in_the_colours_of_the_source(
    opener: AnalogyOpener, session: dict[str, Any]
) -> None:
    colours = Vocabulary("colour", (0, 255, 1 << 8, 1 << 16, 1 << 20, 0xFFFFFF))
    opened = opener(Session.read(session))
    opened = replace(opened, stored=replace(opened.stored, vocabulary=colours))
    with Image.open(BytesIO(opener.files["labels.png"](opened))) as made:
        assert made.mode == "RGB"
        labels = semia.example(32, 48).targets["remove"].numpy()
        assert np.array_equal(np.asarray(made), colours.as_image(labels))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"subject": "x"}, "subject: found 'x', expected None: one image has no latents"),
        ({"refine": 5}, "refine: found 5, expected 0"),
        ({"amount": 0.5}, "amount: found 0.5, expected 1.0"),
        ({"paste": 4}, "paste: found 4, expected None"),
        ({"styles": [{"labels": [1], "from": {"mean": True}}]}, "styles: found"),
        ({"model": "0"}, "model: the session is of the model 0, expected this one"),
        ({"map": packed(np.full((32, 48), 6))}, "map: holds 6, expected labels 0 .. 5"),
        ({"map": packed(np.full((32, 48), -1))}, "map: 1536 pixels have no label"),
    ],
)
def test_sessions_that_cannot_be_used(
    client: Client, session: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    answer = client.post("/api/result", {**session, **change})
    assert answer.status == 400
    assert words in answer.error


def test_there_is_one_picture(client: Client, session: dict[str, Any]) -> None:
    assert client.post("/api/result", {**session, "host": "0" * 16}).json["gone"] == "0" * 16
    error = client.post("/api/pictures", {"name": "x", "example": "x"}).error
    assert error == "x: expected the example 'lake', the one image that can be generated here"
    asked = {"session": session, "label": 1, "layer": "encoder.0"}
    assert "expected none" in client.post("/api/attention", asked).error
    assert client.post("/api/files/strip.png", session).status == 404


def test_generating_ends_where_nobody_waits(lake: Path, session: dict[str, Any]) -> None:
    fresh = AnalogyOpener(lake, torch.device("cpu"))
    told: list[float] = []

    def progress(doing: str, share: float) -> None:
        assert doing == "Generating"
        told.append(share)
        if len(told) == 2:
            raise AbandonedError

    with pytest.raises(AbandonedError):
        fresh(Session.read(session), progress).edited()
    assert 0 <= told[0] < told[1] < 1


@pytest.mark.parametrize("flag", ["--parser", "--data", "--labels"])
def test_flags_of_no_use(lake: Path, flag: str) -> None:
    with pytest.raises(InputError, match=rf"{flag} x: cannot be used with a folder of scam.semia"):
        main([str(lake), flag, "x"])
