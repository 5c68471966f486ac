# SPDX-License-Identifier: Apache-2.0
"""What the server answers: the page, the model, images, results. docs/studio.md lists it."""

import asyncio
import json
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scam.errors import InputError, one_line, quoted
from scam.storage.reading import parse_json
from scam.studio.files import png
from scam.studio.interface import SessionOpener
from scam.studio.pictures import GoneError
from scam.studio.session import NO_LABEL, PictureData, Session
from scam.studio.work import AbandonedError, Work

STATIC = Path(__file__).with_name("static")
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
_MOST_VALUES = 1 << 16
"""Of one body of JSON: each takes fifty bytes or more, however few are sent."""
_MOST_NOTES = 10
_Task = Callable[[], Response]


def make_app(opener: SessionOpener) -> Starlette:
    """The ASGI application, to be put behind a :class:`scam.studio.guard.Guard`.

    Its ``state.abandon()`` abandons the work of every request, for the server to end.
    """
    answers = Answers(opener)
    worker = ThreadPoolExecutor(1, "studio")
    asked: set[Work] = set()

    def abandon() -> None:
        for work in asked:
            work.abandon()

    async def progress(_: Request) -> Response:
        return JSONResponse(answers.work.about())

    def get(path: str, task: Callable[..., Response]) -> Route:
        async def endpoint(request: Request) -> Response:
            made = partial(_answered, partial(task, **request.path_params))
            return await asyncio.get_running_loop().run_in_executor(worker, made)

        return Route(path, endpoint)

    def post(path: str, task: Callable[[bytes], Response]) -> Route:
        async def endpoint(request: Request) -> Response:
            body, work = await request.body(), Work()

            def made() -> Response:
                answers.work = work
                try:
                    return _answered(partial(task, body), work)
                finally:
                    answers.work = Work()

            watching = asyncio.create_task(_watch(request, work))
            asked.add(work)
            try:
                return await asyncio.get_running_loop().run_in_executor(worker, made)
            finally:
                asked.remove(work)
                watching.cancel()

        return Route(path, endpoint, methods=["POST"])

    app = Starlette(
        routes=[
            *_static_routes(),
            get("/api/model", answers.model),
            Route("/api/progress", progress),
            post("/api/pictures", answers.add),
            get("/api/pictures/{id}", answers.picture),
            get("/api/pictures/{id}/photo", answers.photo),
            get("/api/pictures/{id}/labels", answers.labels),
            post("/api/result", answers.result),
            post("/api/attention", answers.attention),
            *(post(f"/api/files/{x}", partial(answers.file, x)) for x in opener.files),
        ],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    app.state.abandon = abandon
    return app


@dataclass
class Answers:
    """One method for each address; they run one at a time, in one thread.

    work: what the request of the moment is told to.
    """

    opener: SessionOpener
    work: Work = field(default_factory=Work)

    def model(self) -> Response:
        """What the model is and can do."""
        return JSONResponse(self.opener.describe())

    def add(self, body: bytes) -> Response:
        """Take in an image."""
        return self.picture(self.opener.add(PictureData.from_dict(_parsed(body))))

    def picture(self, id: str) -> Response:
        """What an image is called and what it holds."""
        found = self.opener.picture(id)
        height, width = found.labels.shape
        labels, counts = np.unique(found.labels, return_counts=True)
        present = {
            str(label): count / found.labels.size
            for label, count in zip(labels.tolist(), counts.tolist(), strict=True)
            if label >= 0
        }
        about = {"id": id, "name": found.name, "width": width, "height": height}
        return JSONResponse({**about, "present": present})

    def photo(self, id: str) -> Response:
        """A photograph as a PNG file."""
        return Response(png(self.opener.picture(id).photo), media_type="image/png")

    def labels(self, id: str) -> Response:
        """A label map, a byte per pixel."""
        labels = self.opener.picture(id).labels
        return _bytes(np.where(labels < 0, NO_LABEL, labels).astype(np.uint8))

    def result(self, body: bytes) -> Response:
        """The edited image as raw RGB."""
        start = time.perf_counter()
        edited = self._opened(_parsed(body)).edited()
        height, width, _ = edited.pixels.shape
        headers = {
            "Scam-Width": str(width),
            "Scam-Height": str(height),
            "Scam-Milliseconds": f"{1000 * (time.perf_counter() - start):.1f}",
            "Scam-Notes": json.dumps([one_line(note) for note in edited.notes[:_MOST_NOTES]]),
        }
        return _bytes(edited.pixels, headers)

    def attention(self, body: bytes) -> Response:
        """Heat maps of a label's latents."""
        given = _parsed(body)
        if not isinstance(given, dict) or given.keys() != {"session", "label", "layer"}:
            raise InputError(f"found {quoted(given)}, expected session, label and layer")
        opened = self._opened(given["session"])
        maps = self.opener.attention(opened, given["label"], given["layer"])
        names = ("Scam-Latents", "Scam-Height", "Scam-Width")
        return _bytes(maps, dict(zip(names, map(str, maps.shape), strict=True)))

    def file(self, name: str, body: bytes) -> Response:
        """One of the files that a session becomes."""
        made = self.opener.files[name](self._opened(_parsed(body)))
        return Response(made, media_type="image/png")

    def _opened(self, session: object) -> Any:
        return self.opener(Session.read(session), self.work)


async def _watch(request: Request, work: Work) -> None:
    """Abandon the work of a request whose browser has gone or has asked for something newer."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    work.abandon()


def _answered(task: _Task, work: Work | None = None) -> Response:
    """What ``task`` answers, or why it does not: whatever is wrong, the server keeps running."""
    try:
        if work is not None:
            work.expect_wanted()
        return task()
    except AbandonedError:
        return JSONResponse({"error": "superseded, or the server is closing"}, 503)
    except GoneError as error:
        return JSONResponse({"error": str(error), "gone": error.id}, 404)
    except InputError as error:
        return JSONResponse({"error": str(error)}, 400)
    except Exception as error:
        traceback.print_exc()
        text = one_line(f"{type(error).__name__}: {error}")
        return JSONResponse({"error": f"a bug in the studio: {text}"}, 500)


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    path = one_line(request.url.path)
    return JSONResponse({"error": f"{request.method} {path!a:.80}: not found"}, status)


def _parsed(body: bytes) -> Any:
    if sum(map(body.count, (b",", b":", b"[", b"{"))) > _MOST_VALUES:
        raise InputError(f"expected {_MOST_VALUES} values at most")
    return parse_json(body, "the request")


def _bytes(array: np.ndarray[Any, np.dtype[np.uint8]], headers: Any = None) -> Response:
    return Response(array.tobytes(), 200, headers, "application/octet-stream")


def _static_routes() -> list[Route]:
    """The page's files, read once: no request reaches the file system."""
    routes = []
    for path in sorted(STATIC.rglob("*")):
        if path.suffix in _KINDS and path.is_file():
            name = path.relative_to(STATIC).as_posix()
            address = "/" if name == "index.html" else f"/static/{name}"
            routes.append(Route(address, _fixed(path.read_bytes(), _KINDS[path.suffix])))
    return routes


def _fixed(content: bytes, kind: str) -> Callable[[Request], Response]:
    async def endpoint(_: Request) -> Response:
        return Response(content, media_type=kind)

    return endpoint  # type: ignore[return-value]
