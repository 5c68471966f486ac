# SPDX-License-Identifier: Apache-2.0
"""What the server answers: the page, the model, pictures, results. docs/studio.md lists it."""

import asyncio
import json
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
from scam.studio.attention import heat_maps
from scam.studio.files import FILES, png
from scam.studio.model import describe
from scam.studio.pictures import GoneError
from scam.studio.render import Opener
from scam.studio.session import NO_LABEL, PictureData, Session

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


def make_app(opener: Opener) -> Starlette:
    """The ASGI application, to be put behind a :class:`scam.studio.guard.Guard`."""
    answers = Answers(opener)
    worker = ThreadPoolExecutor(1, "studio")

    def route(path: str, task: Callable[..., Response], method: str) -> Route:
        async def endpoint(request: Request) -> Response:
            body = (await request.body(),) if method == "POST" else ()
            work = partial(_answered, partial(task, *body, **request.path_params))
            return await asyncio.get_running_loop().run_in_executor(worker, work)

        return Route(path, endpoint, methods=[method])

    app = Starlette(
        routes=[
            *_static_routes(),
            route("/api/model", answers.model, "GET"),
            route("/api/pictures", answers.picture, "POST"),
            route("/api/pictures/{id}/photo", answers.photo, "GET"),
            route("/api/pictures/{id}/labels", answers.labels, "GET"),
            route("/api/result", answers.result, "POST"),
            route("/api/attention", answers.attention, "POST"),
            *(route(f"/api/files/{x}", partial(answers.file, x), "POST") for x in FILES),
        ],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    return app


@dataclass(frozen=True)
class Answers:
    """One method for each address; they run one at a time, in one thread."""

    opener: Opener

    def model(self) -> Response:
        """What the model is and can do."""
        return JSONResponse(describe(self.opener))

    def picture(self, body: bytes) -> Response:
        """Take in a picture."""
        pictures = self.opener.pictures
        id = pictures.add(PictureData.from_dict(_parsed(body)))
        found = pictures.get(id).picture
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
        return Response(png(self.opener.pictures.get(id).picture.photo), media_type="image/png")

    def labels(self, id: str) -> Response:
        """A label map, a byte per pixel."""
        labels = self.opener.pictures.get(id).picture.labels
        return _bytes(np.where(labels < 0, NO_LABEL, labels).astype(np.uint8))

    def result(self, body: bytes) -> Response:
        """The edited picture as raw RGB."""
        start = time.perf_counter()
        edited = self.opener(Session.read(_parsed(body))).edited()
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
        session = self.opener(Session.read(given["session"]))
        maps = heat_maps(session, given["label"], given["layer"])
        names = ("Scam-Latents", "Scam-Height", "Scam-Width")
        return _bytes(maps, dict(zip(names, map(str, maps.shape), strict=True)))

    def file(self, name: str, body: bytes) -> Response:
        """One of the files that a session becomes."""
        session = self.opener(Session.read(_parsed(body)))
        return Response(FILES[name](session), media_type="image/png")


def _answered(task: _Task) -> Response:
    """What ``task`` answers, or why it does not: whatever is wrong, the server goes on."""
    try:
        return task()
    except GoneError as error:
        return JSONResponse({"error": str(error), "gone": error.id}, 404)
    except InputError as error:
        return JSONResponse({"error": str(error)}, 400)
    except Exception as error:
        traceback.print_exc()
        text = one_line(f"{type(error).__name__}: {error}")
        return JSONResponse({"error": f"a defect of the studio: {text}"}, 500)


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    path = one_line(request.url.path)
    return JSONResponse({"error": f"{request.method} {path!a:.80}: is nothing here"}, status)


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
