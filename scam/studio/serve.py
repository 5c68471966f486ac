# SPDX-License-Identifier: Apache-2.0
"""The server's address, its browser, and its end."""

import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from scam.commandline.console import say
from scam.errors import InputError
from scam.studio.app import make_app
from scam.studio.guard import Door, Guard
from scam.studio.interface import SessionOpener

LOOPBACK = "127.0.0.1"
PORT = 7226
_OWN_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
_MOST_CONNECTIONS = 100


def serve(opener: SessionOpener, host: str | None, port: int | None, *, browser: bool) -> None:
    """Answer until Ctrl-C. InputError if the address cannot be had."""
    host = host or LOOPBACK
    listening = listen(host, port)
    door = make_door(host, listening.getsockname()[1])
    address = f"http://{_shown(host)}:{door.port}/"
    if door.token is not None:
        address += f"?token={door.token}"
    say(f"{address}  (Ctrl-C ends it)")
    if browser:
        threading.Thread(target=_browse, args=(address,), daemon=True).start()
    with suppress(KeyboardInterrupt):  # which uvicorn raises once it has ended
        make_server(opener, door).run([listening])
    say("closed")


class _Server(uvicorn.Server):
    """Ends without the answers that take long."""

    abandon: Callable[[], None]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.abandon()
        await super().shutdown(sockets)


def make_server(opener: SessionOpener, door: Door) -> uvicorn.Server:
    """To be run on a socket that listens at ``door.port``."""
    app = make_app(opener)
    config = uvicorn.Config(
        Guard(app, door),
        http="h11",
        ws="none",
        lifespan="off",
        log_level="error",
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=10,  # of what reports no progress
    )
    server = _Server(config)
    server.abandon = app.state.abandon
    return server


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens there; by default at :data:`PORT`, or a free port if it is taken."""
    try:
        family, *_, (address, *_) = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError("{host}: expected an address of this machine", host=host) from error
    try:
        return _bound(family, (str(address), PORT if port is None else port))
    except OSError as error:
        if port is not None:
            message = f"{{port}}: cannot listen on {host} ({error.strerror})"
            raise InputError(message, port=port) from error
    try:
        return _bound(family, (str(address), 0))
    except OSError as error:
        message = f"{{host}}: cannot listen there ({error.strerror})"
        raise InputError(message, host=host) from error


def make_door(host: str, port: int) -> Door:
    """What requests must show: none on this machine, elsewhere a new token."""
    if host in ("127.0.0.1", "localhost", "::1"):
        return Door(port, _OWN_NAMES)
    names = {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
    return Door(port, _OWN_NAMES | names, True, secrets.token_urlsafe(16))


def _browse(address: str) -> None:
    """Open a browser, but none that would take over the terminal."""
    with suppress(webbrowser.Error):
        found = webbrowser.get()
        if type(found) is not webbrowser.GenericBrowser:
            found.open(address)


def _bound(family: int, address: tuple[str, int]) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is named: with it, a browser that
    # delays its acknowledgements sees the body of an answer 40 ms after its header.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except BaseException:
        found.close()
        raise
    return found


def _shown(host: str) -> str:
    """As an address has it; for all addresses of this machine, one of them."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
