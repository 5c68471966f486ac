# SPDX-License-Identifier: Apache-2.0
"""Who may ask, and how much: in front of every request, before anything of it is read.

A page of another site can make a browser send requests here, and can let its own name lead to
this address (DNS rebinding); so ``Host`` must be how the server was opened, and ``Origin`` and
``Sec-Fetch-Site`` must be its own page's.
"""

import json
import secrets
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY = 96 << 20
"""Bytes of one request: two files of the largest kind in base64, and words around them."""
_IN_FLIGHT = 256 << 20
"""Bytes of all requests that are read or answered at a time."""
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class RefusedError(Exception):
    """A request is refused with ``status``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Door:
    """Where the server was opened.

    names: what may stand in ``Host``, in lower case, without the port. any_address: whether
    addresses may too. token: what a browser has to know, None on the own machine.
    """

    port: int
    names: frozenset[str]
    any_address: bool = False
    token: str | None = None

    def knows(self, host: str) -> bool:
        """Whether a ``Host`` header is one of this server's."""
        name, colon, port = host.lower().rpartition(":")
        if not colon or port.endswith("]"):
            name, port = host.lower(), "80"
        if port != str(self.port):
            return False
        if name in self.names:
            return True
        try:
            ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return self.any_address

    @property
    def cookie(self) -> str:
        """Its name; browsers keep cookies of all ports together."""
        return f"scam-studio-{self.port}"


@dataclass
class Guard:
    """The ASGI application ``app`` for those who come through ``door``."""

    app: ASGIApp
    door: Door
    _bytes: int = field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on; every answer has the headers of safety."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        fields = {name.decode("latin-1"): x.decode("latin-1") for name, x in scope["headers"]}
        answer = _with_headers(send, scope["path"])
        body = None
        try:
            self._check(scope, fields)
            if self.door.token is not None and self._enters(scope, fields, self.door.token):
                return await _send(answer, 303, b"", self._entrance(self.door.token))
            if scope["method"] == "POST":
                body = await self._body(receive)
        except RefusedError as error:
            text = json.dumps({"error": str(error)}).encode()
            kind = (b"content-type", b"application/json")
            # What is left of a body is not read: the connection ends.
            return await _send(answer, error.status, text, [kind, (b"connection", b"close")])
        try:
            await self.app(scope, receive if body is None else _given(body, receive), answer)
        finally:
            self._bytes -= len(body or b"")
        return None

    def _check(self, scope: Scope, fields: dict[str, str]) -> None:
        host = fields.get("host", "")
        if not self.door.knows(host):
            raise RefusedError(403, f"Host {host!a:.80}: is not how this server was opened")
        if fields.get("origin", f"http://{host}").lower() != f"http://{host}".lower():
            raise RefusedError(403, f"Origin {fields['origin']!a:.80}: is another page")
        if fields.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise RefusedError(403, "asked for by another page: open this address by itself")
        if scope["method"] != "POST":
            return
        kind = fields.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RefusedError(415, f"Content-Type {kind!a:.80}: expected application/json")
        length = fields.get("content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > MOST_BODY:
            raise RefusedError(413, f"{length:.20} bytes: expected {MOST_BODY} at most")

    def _enters(self, scope: Scope, fields: dict[str, str], token: str) -> bool:
        """Whether the token is in the address; else it has to be in the cookie."""
        asked = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=10)
        if scope["method"] == "GET" and _is(asked.get("token", [""])[0], token):
            return True
        try:
            kept = SimpleCookie(fields.get("cookie", "")).get(self.door.cookie)
        except CookieError:
            kept = None
        if kept is None or not _is(kept.value, token):
            raise RefusedError(401, "open the address with ?token= that the server printed")
        return False

    def _entrance(self, token: str) -> list[tuple[bytes, bytes]]:
        cookie = f"{self.door.cookie}={token}; Path=/; HttpOnly; SameSite=Strict"
        return [(b"location", b"/"), (b"set-cookie", cookie.encode())]

    async def _body(self, receive: Receive) -> bytes:
        """All of a body; RefusedError once it is too long, or those of all requests are."""
        parts: list[bytes] = []
        length = 0
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise RefusedError(400, "the request ends early")
                part = message.get("body", b"")
                length += len(part)
                self._bytes += len(part)
                if length > MOST_BODY:
                    raise RefusedError(413, f"expected {MOST_BODY} bytes at most")
                if self._bytes > _IN_FLIGHT:
                    raise RefusedError(503, "too much is asked for at a time: ask again")
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
        except BaseException:
            self._bytes -= length
            raise


def _is(found: str, token: str) -> bool:
    return secrets.compare_digest(found.encode(), token.encode())


def _given(body: bytes, receive: Receive) -> Receive:
    """``receive`` of a request whose body was read."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


def _with_headers(send: Send, path: str) -> Send:
    fresh = "no-store" if path.startswith("/api") else "no-cache"
    more = {**_HEADERS, "cache-control": fresh}.items()

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = [(name.encode(), value.encode()) for name, value in more]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return sending


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
