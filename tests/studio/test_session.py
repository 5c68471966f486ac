# SPDX-License-Identifier: Apache-2.0
"""Sessions that cannot be used: the field, the value and what was expected, in one line."""

import base64
import json
import zlib
from typing import Any

import numpy as np
import pytest
from tiny_studio import Client, draw, make_opener, packed, serving, tiny

from scam.errors import InputError
from scam.models.inade import Inade, InadeConfig
from scam.models.spade import Spade, SpadeConfig
from scam.studio.session import PackedMap

HOST = draw(1)
GOOD = {"labels": [1], "latents": None, "from": {"mean": True}, "weight": 1}


def map_of(data: bytes, level: int = 6, **more: object) -> dict[str, Any]:
    text = base64.b64encode(zlib.compress(data, level)).decode()
    return {"width": 24, "height": 32, "zlib": text, **more}


def whole(value: int = 0) -> bytes:
    return bytes([value]) * 768


BROKEN_MAPS = [
    (None, "map: found None, expected settings by name"),
    ({}, "map: width is missing"),
    (map_of(whole(), width=0), "map: width=0: expected at least 1 and at most 2**20"),
    (map_of(whole(), width=24.0), "map: width=24.0: expected an integer"),
    (map_of(whole(), width=True), "map: width=True: expected an integer"),
    (map_of(whole(), width=10**400), "expected at least 1 and at most 2**20"),
    (map_of(whole(), width=1 << 20, height=1 << 20), "map: is 1048576x1048576, expected the host"),
    (map_of(whole(), width=32, height=24), "map: is 24x32, expected the host's 32x24 (height"),
    (map_of(whole(), zlib=7), "map: zlib=7: expected text"),
    (map_of(whole(), zlib="!"), "map: zlib: expected base64 of zlib"),
    (map_of(whole(), zlib="AAAA"), "map: zlib: expected base64 of zlib"),
    (map_of(whole()[:-1]), "map: zlib: holds less or is cut short, expected 768 bytes"),
    (map_of(whole() + b"\0"), "map: zlib: holds more, expected 768 bytes, one a pixel"),
    (map_of(bytes(1 << 28), 1), "map: zlib: holds more, expected 768 bytes, one a pixel"),
    (map_of(whole(3)), "map: holds 3, expected labels 0 .. 2 or 255"),
    (map_of(whole(), more=1), "map: 'more' is not one of width, height, zlib"),
]
BROKEN_CHANGES = [
    (7, "styles[0]: found 7, expected an object"),
    ({}, "styles[0]: from is missing"),
    ({"from": {"mean": True}}, "styles[0]: labels is missing"),
    ({**GOOD, "labels": []}, "styles[0]: labels, latents: expected at least one"),
    ({**GOOD, "latents": []}, "styles[0]: labels, latents: expected at least one"),
    (
        {**GOOD, "labels": [3]},
        "styles[0]: label 3: expected one of background, hair, body, or 0 to 2",
    ),
    ({**GOOD, "labels": [-1]}, "styles[0]: labels=[-1]: expected each at least 0"),
    ({**GOOD, "labels": ["1"]}, "styles[0]: labels=['1']: expected each an integer"),
    ({**GOOD, "labels": [1] * 1000}, None),
    ({**GOOD, "latents": [2]}, "styles[0]: latent 2 of label 1: expected 0 to 1"),
    ({**GOOD, "latents": [0, 0, 1]}, None),
    ({**GOOD, "weight": 1.5}, "styles[0]: weight=1.5: expected at least 0 and at most 1"),
    ({**GOOD, "weight": None}, "styles[0]: weight=None: expected a number"),
    ({**GOOD, "source": 1}, "styles[0]: 'source' is not one of labels, latents, from, weight"),
    ({**GOOD, "from": {}}, "styles[0]: from: expected one of"),
    ({**GOOD, "from": {"mean": False}}, "styles[0]: from: expected one of"),
    ({**GOOD, "from": {"mean": True, "random": 1}}, "styles[0]: from: expected one of"),
    ({**GOOD, "from": {"random": -1}}, "styles[0]: from: random=-1: expected at least 0"),
    ({**GOOD, "from": {"random": 1}}, "styles[0]: a model of kind 'scam' draws no styles"),
    ({**GOOD, "from": "x"}, "styles[0]: from: found 'x', expected settings by name"),
]
BROKEN = [
    ({"format": "scam session 2"}, "format: found 'scam session 2', expected 'scam session 1'"),
    ({"model": "x"}, "model: the session is of the model x, expected this one"),
    ({"model": 3}, "model=3: expected text"),
    ({"host": None}, "host=None: expected text"),
    ({"scene": [3]}, "scene: holds 3, expected labels 0 .. 2"),
    ({"scene": 0}, "scene=0: expected a list"),
    ({"absent": "error"}, "absent='error': expected related, background or mean"),
    ({"styles": {}}, "styles: expected a list of 1000 at most"),
    ({"styles": [GOOD] * 1001}, "styles: expected a list of 1000 at most"),
    ({"amount": -0.1}, "amount=-0.1: expected at least 0 and at most 1"),
    ({"amount": "1"}, "amount='1': expected a number"),
    ({"paste": 257}, "paste=257: expected at least 0 and at most 256"),
    ({"paste": 1.5}, "paste=1.5: expected an integer"),
    ({"pictures": []}, "pictures: found [], expected images by their digests"),
    ({"pictures": {"a": 1}}, "pictures['a']: found 1, expected settings by name"),
    ({"pictures": {"a": {"name": "x"}}}, "pictures['a']: expected example or photo"),
    ({"more": 1}, "'more' is not one of format, model, host, map"),
    *(({"map": value}, words) for value, words in BROKEN_MAPS),
    *(({"styles": [value]}, words) for value, words in BROKEN_CHANGES),
]


@pytest.fixture(scope="module")
def session(client: Client) -> dict[str, Any]:
    return client.session(HOST)


@pytest.mark.parametrize(("change", "words"), BROKEN)
def test_sessions_that_cannot_be_used(
    client: Client, session: dict[str, Any], change: dict[str, Any], words: str | None
) -> None:
    answer = client.post("/api/result", {**session, **change})
    if words is None:
        assert answer.status == 200
        return
    assert answer.status == 400
    assert words in answer.error
    assert len(answer.error) < 500


@pytest.mark.parametrize("missing", ["format", "model", "host", "map"])
def test_what_a_session_must_have(client: Client, session: dict[str, Any], missing: str) -> None:
    given = {name: value for name, value in session.items() if name != missing}
    assert missing in client.post("/api/result", given).error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the request: not JSON"),
        (b"\xff", "the request: not JSON"),
        (b"null", "found None, expected an object"),
        (b'{"format": NaN}', "NaN is not a finite number"),
        (b'{"format": 1e999}', "1e999 is not a finite number"),
        (b'{"a": 1, "a": 2}', "'a' is there twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "the request: not JSON"),
        (b"[" * 60000, "the request: nested too deeply"),
        (b"[" * 70000, "expected 65536 values at most"),
        (b"[" + b"{}," * 70000 + b"{}]", "expected 65536 values at most"),
    ],
)
def test_bodies_that_are_no_session(client: Client, body: bytes, words: str) -> None:
    answer = client.ask("POST", "/api/result", body)
    assert answer.status == 400
    assert words in answer.error


def test_a_map_is_checked_against_its_picture_before_it_is_inflated() -> None:
    bomb = PackedMap(1 << 20, 1 << 20, map_of(bytes(1 << 20))["zlib"])
    with pytest.raises(InputError, match="expected the host's 32x24"):
        bomb.unpack((32, 24), 3)


def test_drawn_styles_follow_their_seed() -> None:
    config = InadeConfig(3, (32, 24), width=8, levels=4)
    with serving(make_opener(tiny(Inade(config)))) as client:
        about = client.get("/api/model").json
        assert about["draws_styles"]
        assert not about["attention"]
        plain = client.session(HOST)
        results = []
        for seed in (1, 1, 2, (1 << 63) - 1):
            change = {"labels": [1], "from": {"random": seed}}
            results.append(client.post("/api/result", {**plain, "styles": [change]}).body)
        assert results[0] == results[1]
        assert len(set(results)) == 3


def test_a_model_with_one_style_for_the_whole_image() -> None:
    config = SpadeConfig(3, (32, 24), width=8, levels=4)
    with serving(make_opener(tiny(Spade(config)))) as client:
        assert not client.get("/api/model").json["styles_per_label"]
        plain = client.session(HOST)
        subject = {**plain, "subject": client.add(draw(2))}
        assert client.post("/api/result", plain).body != client.post("/api/result", subject).body
        change = {"labels": [1], "from": {"picture": plain["host"]}}
        error = client.post("/api/result", {**plain, "styles": [change]}).error
        assert error.startswith("styles[0]: label 1: this model has one style for the whole image")
        asked = {"session": plain, "label": 1, "layer": "encoder.0"}
        assert client.post("/api/attention", asked).status == 400


def test_pixels_without_a_label_are_generated(client: Client, session: dict[str, Any]) -> None:
    pose = HOST.labels.copy()
    pose[:4] = -1
    answer = client.post("/api/result", {**session, "map": packed(pose)})
    assert answer.status == 200
    assert np.frombuffer(answer.body, np.uint8).size == 768 * 3
    assert json.loads(answer.headers["scam-notes"]) == []
