# SPDX-License-Identifier: Apache-2.0
"""Who is let in: DNS rebinding, pages elsewhere, strangers in the network, bodies too long."""

import socket

import pytest
from tiny_studio import Client, serving

from scam.errors import InputError
from scam.studio import guard
from scam.studio.guard import Door
from scam.studio.opener import Opener
from scam.studio.serve import listen, make_door

LOCAL = Door(7226, frozenset({"localhost", "127.0.0.1", "[::1]"}))


@pytest.mark.parametrize(
    "host", ["localhost:7226", "LOCALHOST:7226", "127.0.0.1:7226", "[::1]:7226"]
)
def test_names_of_this_machine(host: str) -> None:
    assert LOCAL.knows(host)


@pytest.mark.parametrize(
    "host",
    ["", "localhost", "localhost:7227", "evil.example:7226", "127.0.0.1.evil.example:7226",
     "127.0.0.2:7226", "localhost.:7226", "[::1]", "localhost:7226:7226", "::1:7226", "[::1:7226",
     "127.0.0.1@evil.example:7226", "0.0.0.0:7226", "localhost:7226 "],
)  # fmt: skip
def test_names_that_lead_here_all_the_same(host: str) -> None:
    assert not LOCAL.knows(host)


def test_an_open_door_takes_addresses_and_its_own_names() -> None:
    door = make_door("0.0.0.0", 7226)
    assert door.token
    assert len(door.token) > 20
    assert door.token != make_door("0.0.0.0", 7226).token
    for host in ("192.168.1.7:7226", "[fe80::1]:7226", f"{socket.gethostname()}:7226"):
        assert door.knows(host)
    assert not door.knows("evil.example:7226")
    assert make_door("localhost", 80).knows("localhost")


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"},
     {"Origin": "http://localhost:1"}, {"Sec_Fetch_Site": "cross-site"},
     {"Sec_Fetch_Site": "same-site"}, {"Origin": ""}],
)  # fmt: skip
def test_pages_elsewhere_are_refused(client: Client, headers: dict[str, str]) -> None:
    for path in ("/", "/static/server.js", "/api/model"):
        answer = client.get(path, **headers)
        assert answer.status == 403
        assert answer.error
    assert client.ask("POST", "/api/result", b"{}", **headers).status == 403
    own = f"127.0.0.1:{client.port}"
    assert (
        client.get("/", Host=own, Origin=f"http://{own}", Sec_Fetch_Site="same-origin").status
        == 200
    )


def test_forms_of_other_pages_are_refused(client: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert client.ask("POST", "/api/result", b"{}", Content_Type=kind).status == 415
    kind = "application/json; charset=utf-8"
    assert client.ask("POST", "/api/result", b"{}", Content_Type=kind).status == 400


def test_every_answer_has_the_headers_of_safety(client: Client) -> None:
    for answer in (client.get("/"), client.get("/api/model"), client.get("/x"),
                   client.get("/", Host="x"), client.post("/api/result", {})):  # fmt: skip
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; img-src 'self' blob: data:;")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
    assert client.get("/api/model").headers["cache-control"] == "no-store"


def test_strangers_need_the_token(opener: Opener) -> None:
    with serving(opener, token="secret") as client:
        for path in (
            "/",
            "/api/model",
            "/?token=",
            "/?token=secre",
            "/?token=secretx",
            "/static/x",
        ):
            assert client.get(path).status == 401
        assert client.ask("POST", "/api/result?token=secret", b"{}").status == 401
        entrance = client.get("/?token=secret")
        assert (entrance.status, entrance.headers["location"]) == (303, "/")
        cookie = entrance.headers["set-cookie"]
        assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
        kept = cookie.partition(";")[0]
        assert client.get("/", Cookie=kept).status == 200
        assert client.get("/api/model", Cookie=f"a=b; {kept}").status == 200
        for wrong in (kept[:-1], f"{kept}x", "scam-studio", "=;=", "\xff", "x" * 5000):
            assert client.get("/api/model", Cookie=wrong).status == 401


def test_long_bodies_are_not_read(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for length in (str((96 << 20) + 1), "9" * 30, "-1", "x"):
        answer = client.ask("POST", "/api/result", b"", Content_Length=length)
        assert answer.status in (400, 413)
    monkeypatch.setattr(guard, "MOST_BODY", 1000)
    with socket.create_connection(("127.0.0.1", client.port)) as raw:
        head = f"POST /api/result HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n"
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw.sendall(
            head.encode() + b"200\r\n" + b" " * 512 + b"\r\n200\r\n" + b" " * 512 + b"\r\n"
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")
    assert client.get("/api/model").status == 200


def test_all_bodies_together_are_bounded(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_IN_FLIGHT", 1000)
    with serving(opener) as client:
        head = f"POST /api/result HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n"
        head += "Content-Type: application/json\r\nContent-Length: 900\r\n\r\n"
        with socket.create_connection(("127.0.0.1", client.port)) as slow:
            slow.sendall(head.encode() + b" " * 890)
            while client.ask("POST", "/api/result", b" " * 200).status != 503:
                pass
        while client.ask("POST", "/api/result", b" " * 200).status != 400:
            pass


def test_addresses_that_cannot_be_had() -> None:
    with pytest.raises(InputError, match=r"host='256\.1\.1\.1': expected an address"):
        listen("256.1.1.1", None)
    with pytest.raises(InputError, match=r"host='192\.0\.2\.1': cannot listen there"):
        listen("192.0.2.1", None)
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        assert first.proto == socket.IPPROTO_TCP  # or asyncio leaves Nagle's algorithm on
        assert first.getsockname() != second.getsockname()
        port = second.getsockname()[1]
        with pytest.raises(InputError, match=f"port={port}: cannot listen on 127"):
            listen("127.0.0.1", port)
