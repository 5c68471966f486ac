# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.studio``: what it says and how it ends."""

import importlib.util
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_studio import CONFIG, Client, draw, packed, tiny, upload

from scam.checkpoints.weights import write_weights
from scam.data import Mannequins, save_label_png
from scam.editing.encoded import digest
from scam.editing.styles import fingerprint
from scam.errors import InputError
from scam.models.description import describe_model
from scam.studio import serve
from scam.studio.__main__ import main

NAMES = ["background", "hair", "body"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint's folder, without the run around it."""
    folder = tmp_path_factory.mktemp("saved")
    labels = {"label_names": NAMES, "label_values": tiny().label_values.as_dict()}
    write_weights(folder, tiny().model.state_dict(), describe_model(CONFIG, labels))
    return folder


def write_session(path: Path, **more: object) -> Path:
    host = draw(1)
    value: dict[str, Any] = {
        "format": "scam session 1",
        "model": fingerprint(tiny().model),
        "host": digest(host),
        "map": packed(host.labels),
        "pictures": {digest(host): upload(host)},
    }
    path.write_text(json.dumps({**value, **more}))
    return path


def test_a_session_is_repeated(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session, out = write_session(tmp_path / "s.json"), tmp_path / "a" / "b"
    words = [str(saved), "--replay", str(session), "--out", str(out), "--device", "cpu"]
    main(words)
    assert capsys.readouterr().out.splitlines() == [f"replayed {session} into {out}"]
    names = ["labels.png", "result.png", "sheet.png", "strip.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    with pytest.raises(InputError, match=r"result\.png: already exists; choose another name or"):
        main(words)
    before = (out / "sheet.png").read_bytes()
    write_session(session, threads=torch.get_num_threads() + 1)
    main([*words, "--overwrite"])
    assert f"replayed with {torch.get_num_threads()}: pixels may" in capsys.readouterr().out
    assert (out / "sheet.png").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model": "0"}, "open it with the model that it was made with"),
        ({"pictures": {}}, "image '{host}': the server does not know it"),
        ({"amount": 2}, "amount=2: expected at least 0"),
        ({"host": 2}, "host=2: expected text"),
        ({"format": None}, "format: found None"),
    ],
)
def test_sessions_that_cannot_be_repeated(
    saved: Path, tmp_path: Path, change: dict[str, object], error: str
) -> None:
    session = write_session(tmp_path / "s.json", **change)
    words = [str(saved), "--replay", str(session), "--out", str(tmp_path / "out")]
    with pytest.raises(InputError) as caught:
        main(words)
    assert error.format(host=digest(draw(1))) in str(caught.value)
    assert str(session) in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--replay", "a.json"], "--replay, --out: expected both or neither"),
        (["--out", "a"], "--replay, --out: expected both or neither"),
        (["--overwrite"], "--overwrite: expected together with --replay"),
        (["--port", "65536"], "--port 65536: expected 0 to 65535"),
        (["--replay", "a", "--out", "b", "--host", "x"], "--host x: cannot be used with --replay"),
        (["--parser", "x"], "--parser x: expected MODULE:FUNCTION"),
        (["--data", "nowhere"], "--data nowhere: expected mannequins or a folder"),
    ],
)
def test_flags_that_cannot_be_used(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], error: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        main([str(saved), *words])
    assert str(caught.value) == error


def test_without_a_checkpoint_it_is_the_mannequins_or_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(path: str, **_: object) -> None:
        asked.append(path)
        raise InputError("enough")

    monkeypatch.setattr("scam.studio.__main__.load_checkpoint", load)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with pytest.raises(InputError, match="enough"):
            main(["--device", "cpu"])
        (tmp_path / "runs" / "mannequins").mkdir(parents=True, exist_ok=True)
    assert asked == ["demo", "runs/mannequins"]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    hint = r"starlette and uvicorn: not installed; run pip install '.*\[studio\]'"
    with pytest.raises(InputError, match=hint):
        main(["--no-browser"])


def test_examples_are_those_of_data(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "photos"
    for name in ("images", "labels"):
        (data / name).mkdir(parents=True)
    for number in range(30):
        picture = draw(number)
        save_label_png(data / "labels" / f"p{number}.png", picture.labels)
        image = Mannequins("val").load(number, (32, 24))[0]
        Image.fromarray(image).save(data / "images" / f"p{number}.png")
    found: list[Any] = []
    monkeypatch.setattr(serve, "serve", lambda opener, *_, **__: found.append(opener))
    main([str(saved), "--data", str(data), "--device", "cpu"])
    examples = found[0].pictures.examples
    assert len(examples.stems) == 24
    assert examples.load(examples.stems[0]).photo.shape == (32, 24, 3)


def test_the_page_is_opened_and_closed(saved: Path) -> None:
    command = [sys.executable, "-m", "scam.studio", str(saved), "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().endswith("files, or --data\n")
        address = process.stdout.readline()
        assert address.endswith("/  (Ctrl-C ends it)\n")
        port = int(address.partition("127.0.0.1:")[2].partition("/")[0])
        client = Client(port)
        assert client.get("/api/model").json["title"] == saved.name
        waiting = socket.create_connection(("127.0.0.1", port))
        session = client.session(draw(1), refine=1000)
        refining = threading.Thread(target=client.post, args=("/api/result", session))
        refining.start()
        while not client.get("/api/progress").json:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=5)  # a thousand steps take longer
        waiting.close()
        refining.join()
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "closed\n", "")


def test_no_browser_takes_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    text, window = webbrowser.GenericBrowser("w3m"), webbrowser.BackgroundBrowser("firefox")
    for browser in (text, window):
        monkeypatch.setattr(browser, "open", opened.append, raising=False)
        monkeypatch.setattr(webbrowser, "get", lambda found=browser: found)
        serve._browse("http://x")
    assert opened == ["http://x"]
