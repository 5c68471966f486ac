# SPDX-License-Identifier: Apache-2.0
"""Refined latents, how far the work is, and work that nobody waits for."""

import json
import socket
import time
from typing import Any

import numpy as np
import pytest
from tiny_studio import Client, draw

from scam.editing.edit import Settings
from scam.editing.editor import Editor
from scam.studio.opener import Opener
from scam.studio.pictures import Known
from scam.studio.work import AbandonedError, Work

HOST, SUBJECT = draw(21), draw(22)


def test_work_is_told_about_until_nobody_waits() -> None:
    work = Work()
    assert work.about() == {}
    work("Refining", 0.5)
    assert work.about() == {"doing": "Refining", "share": 0.5}
    work.abandon()
    with pytest.raises(AbandonedError):
        work("Refining", 0.6)


def test_refined_results_are_those_of_the_command_line(client: Client, opener: Opener) -> None:
    known = opener.checkpoint
    session = client.session(HOST, subject=client.add(SUBJECT), refine=3)
    expected = Editor(known, Settings(refine=3))(HOST, SUBJECT, [])
    plain = client.post("/api/result", {**session, "refine": 0}).body
    found = client.post("/api/result", session).body
    assert found == expected.pixels.tobytes()
    assert found != plain
    assert client.post("/api/result", session).body == found


def test_refining_tells_how_far_it_is(opener: Opener) -> None:
    told: list[tuple[str, float]] = []
    picture = Known(HOST, opener.checkpoint)
    picture.latents(4, lambda *what: told.append(what))
    assert told == [(f"Refining the latents of {HOST.name}", n / 4) for n in range(1, 5)]
    picture.latents(4, lambda *what: told.append(what))
    assert len(told) == 4
    for steps in range(6):
        picture.latents(steps)
    assert list(picture.kept) == [(steps, "alone") for steps in (2, 3, 4, 5)]
    assert np.isfinite(picture.latents(5).tokens.numpy()).all()


def test_work_that_nobody_waits_for_ends(client: Client) -> None:
    session = client.session(draw(23), refine=1000)
    body = json.dumps(session).encode()
    head = (
        f"POST /api/result HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", client.port)) as gone:
        gone.sendall(head.encode() + body)
        told: dict[str, Any] = {}
        end = time.monotonic() + 30
        while not told and time.monotonic() < end:
            told = client.get("/api/progress").json
        assert told["doing"] == "Refining the latents of p23"
        assert 0 < told["share"] < 1
    # A thousand steps take ten seconds or more: the next answer comes while they would run.
    start = time.monotonic()
    assert client.post("/api/result", {**session, "refine": 0}).status == 200
    assert client.get("/api/progress").json == {}
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("steps", [-1, 1001, 1.5, True, "5"])
def test_steps_that_cannot_be_taken(client: Client, steps: object) -> None:
    error = client.post("/api/result", client.session(HOST, refine=steps)).error
    assert error.startswith(f"refine={steps!r}: expected")
