# SPDX-License-Identifier: Apache-2.0
"""Whatever is asked, the server answers in one line, lives on, and does not grow."""

import gc
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_studio import Client, draw, make_opener, packed, serving, upload

from scam.studio import files
from scam.studio.opener import Opener

HOST = draw(1)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["../../etc/passwd", "\0", "x" * 5000, "0" * 16, 1e308, 2**63, -1, 255, 256]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=8), x, max_size=4),
    max_leaves=8,
)
PATHS = st.sampled_from(
    ["/api/pictures", "/api/result", "/api/attention", "/api/files/result.png",
     "/api/files/labels.png", "/api/files/sheet.png", "/api/files/strip.png", "/api/files/x"]
)  # fmt: skip
FIELDS = (
    "format", "model", "host", "map", "subject", "scene", "absent", "styles", "amount", "paste",
    "pictures", "label_names", "name", "photo", "labels", "example", "session", "label", "layer",
    "width", "height", "zlib", "latents", "from", "weight", "picture", "mean", "random",
)  # fmt: skip
quiet = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def expect_refused_or_answered(client: Client, path: str, body: bytes) -> None:
    answer = client.ask("POST", path, body)
    if answer.status != 200:
        assert answer.status in (400, 404)
        assert answer.error
    assert client.get("/").status == 200


@quiet
@given(PATHS, VALUES)
def test_any_json(client: Client, path: str, value: object) -> None:
    expect_refused_or_answered(client, path, json.dumps(value).encode())


@quiet
@given(PATHS, st.binary(max_size=200))
def test_any_bytes(client: Client, path: str, body: bytes) -> None:
    expect_refused_or_answered(client, path, body)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            found += places(value[key], (*at, key))
    return found


@quiet
@given(PATHS, st.data())
def test_a_good_request_with_something_else_in_one_place(
    client: Client, path: str, data: st.DataObject
) -> None:
    change = {"labels": [1], "latents": [0], "from": {"mean": True}, "weight": 0.5}
    body: Any = client.session(HOST, styles=[change], pictures={"0" * 16: upload(HOST)})
    if path == "/api/pictures":
        body = upload(HOST)
    if path == "/api/attention":
        body = {"session": body, "label": 1, "layer": "encoder.0"}
    *above, last = data.draw(st.sampled_from(places(body)))
    part = body
    for key in above:
        part = part[key]
    if data.draw(st.booleans()):
        part[last] = data.draw(VALUES)
    elif isinstance(part, dict):
        part[data.draw(st.sampled_from(FIELDS))] = part.pop(last)
    expect_refused_or_answered(client, path, json.dumps(body).encode())


@quiet
@given(st.text(st.characters(codec="ascii", exclude_characters=" \t\r\n\x7f", min_codepoint=33)))
def test_any_address(client: Client, path: str) -> None:
    for start in ("/", "/static/", "/api/pictures/", "/api/files/"):
        answer = client.get(start + path)
        assert answer.status in (200, 400, 404, 405)


def test_a_defect_is_told_and_survived(
    client: Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> bytes:
        raise ZeroDivisionError("a\nb")

    session = client.session(HOST)
    monkeypatch.setitem(files.FILES, "result.png", broken)
    answer = client.post("/api/files/result.png", session)
    assert answer.status == 500
    assert answer.error == "a bug in the studio: ZeroDivisionError: a\\nb"
    assert "Traceback" in capfd.readouterr().err
    assert client.post("/api/result", session).status == 200


def test_twenty_at_once(client: Client) -> None:
    session = client.session(HOST)
    poses = [np.roll(HOST.labels, shift, axis=0) for shift in range(20)]
    alone = [client.post("/api/result", {**session, "map": packed(pose)}).body for pose in poses]
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda p: client.post("/api/result", {**session, "map": packed(p)}), poses)
        )
    assert [answer.status for answer in answers] == [200] * 20
    assert [answer.body for answer in answers] == alone


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("requests", [200, pytest.param(1000, marks=pytest.mark.exhaustive)])
def test_many_requests_leave_memory_as_it_was(opener: Opener, requests: int) -> None:
    bounded = make_opener()
    bounded.pictures.limit = 1 << 20
    with serving(bounded) as client:
        session = client.session(HOST)
        rounds = []
        for number in range(requests):
            pose = np.roll(HOST.labels, number, axis=0)
            body = {**session, "map": packed(pose), "amount": number / requests}
            answer = client.post("/api/result", body)
            if number % 10 == 0:
                client.add(draw(number, (200, 200)))
                client.post("/api/result", {**body, "amount": "x"})
                client.post("/api/attention", {"session": body, "label": 1, "layer": "encoder.0"})
            if answer.status == 404:
                client.add(HOST)
            if number % (requests // 4) == requests // 4 - 1:
                rounds.append(resident())
        assert rounds[-1] - rounds[0] < 8 << 20, rounds
