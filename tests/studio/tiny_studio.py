# SPDX-License-Identifier: Apache-2.0
"""A server on a real port, of a tiny model of random weights, and a client without manners."""

import base64
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from scam.data import LabelValues
from scam.data.parser import LabelParser
from scam.editing.pictures import Picture
from scam.editing.sources import Folder
from scam.models import Scam, ScamConfig
from scam.models.base import SynthesisModel
from scam.models.checkpoint import Checkpoint
from scam.studio.interface import SessionOpener
from scam.studio.opener import Opener
from scam.studio.pictures import Pictures
from scam.studio.serve import listen, make_door, make_server

NAMES = ("background", "hair", "body")
SIZE = (32, 24)
CONFIG = ScamConfig(
    3, SIZE, width=16, levels=4, latents_per_label=2, background_latents=3, token_dim=8,
    attention_dim=8,
)  # fmt: skip


def tiny(model: SynthesisModel | None = None, ignore: int | None = 9) -> Checkpoint:
    torch.manual_seed(0)
    model = (Scam(CONFIG) if model is None else model).eval()
    model.mean_known[1] = True
    values = LabelValues.build(3, ignore=ignore)
    model.about = {"label_names": list(NAMES), "label_values": values.as_dict()}
    return Checkpoint(Path("run"), model)


def draw(seed: int, size: tuple[int, int] = SIZE, held: tuple[int, ...] = (0, 1, 2)) -> Picture:
    """A picture in horizontal bands of the labels ``held``."""
    photo = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    labels = np.array(held, np.int32)[np.arange(size[0]) * len(held) // size[0]]
    return Picture(photo, np.repeat(labels[:, None], size[1], 1), f"p{seed}")


def as_png(array: np.ndarray) -> str:
    file = BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def upload(picture: Picture) -> dict[str, Any]:
    values = np.where(picture.labels < 0, 9, picture.labels).astype(np.uint8)
    return {"name": picture.name, "photo": as_png(picture.photo), "labels": as_png(values)}


def packed(labels: np.ndarray) -> dict[str, Any]:
    data = np.where(labels < 0, 255, labels).astype(np.uint8).tobytes()
    height, width = labels.shape
    return {
        "width": width,
        "height": height,
        "zlib": base64.b64encode(zlib.compress(data)).decode(),
    }


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """Of a refusal, which is one line."""
        text = self.json["error"]
        assert text.isprintable()
        assert 0 < len(text) <= 4000
        return text


@dataclass
class Client:
    port: int

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            fields = {"Content-Type": "application/json", **fields}
        try:
            connection.request(method, path, body, fields)
            got = connection.getresponse()
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, value: object) -> Answer:
        return self.ask("POST", path, json.dumps(value).encode())

    def add(self, picture: Picture) -> str:
        answer = self.post("/api/pictures", upload(picture))
        assert answer.status == 200, answer.body
        return answer.json["id"]

    def session(self, host: Picture, **more: object) -> dict[str, Any]:
        """One that changes nothing, but for ``more``."""
        model = self.get("/api/model").json
        return {
            "format": "scam session 1",
            "model": model["model"],
            "label_names": [label["name"] for label in model["labels"]],
            "host": self.add(host),
            "map": packed(host.labels),
            "subject": None,
            "scene": [0],
            "absent": "background",
            "styles": [],
            "amount": 1.0,
            "paste": None,
            **more,
        }


@contextmanager
def serving(opener: SessionOpener, token: str | None = None) -> Iterator[Client]:
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    server = make_server(opener, replace(make_door("127.0.0.1", port), token=token))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Client(port)
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


def parse(photo: np.ndarray) -> np.ndarray:
    """A parser: labels by brightness."""
    return (photo.mean(-1) // 86).astype(np.int64)


def make_opener(
    checkpoint: Checkpoint | None = None, function: Callable[..., Any] | None = parse
) -> Opener:
    known = tiny() if checkpoint is None else checkpoint
    examples = {f"example_{number}": draw(90 + number) for number in range(3)}
    folder = Folder("examples", tuple(examples), examples.__getitem__)
    parser = None if function is None else LabelParser("tests:parse", function)
    return Opener(Pictures(known, folder, parser))
