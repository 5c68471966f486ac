# SPDX-License-Identifier: Apache-2.0
import io
import json

import pytest

from scam.errors import InputError
from scam.training import log
from scam.training.log import MetricsLog, Progress, read_metrics


def write(path, steps, step0=0):
    with MetricsLog(path, step0) as metrics:
        for step in steps:
            metrics.write(step, {"loss": 1 / (step + 1), "name": "g"})


def test_each_line_is_in_the_file_at_once(tmp_path):
    path = tmp_path / "new" / "metrics.jsonl"
    with MetricsLog(path) as metrics:
        values = {"a": 0.1, "b": 3, "c": float("nan"), "d": -float("inf"), "e": None, "f": "x"}
        metrics.write(1, values)
        line = path.read_text()
        assert line == '{"step": 1, "a": 0.1, "b": 3, "c": null, "d": null, "e": null, "f": "x"}\n'
        metrics.write(2, {})
        assert read_metrics(path) == [json.loads(line), {"step": 2}]


@pytest.mark.parametrize("torn", [b"", b'{"st', b'{"step": 7, "loss": 0.1', b"\xff", b'{"step"'])
def test_a_resumed_file_equals_an_uninterrupted_one(tmp_path, torn):
    whole, resumed = tmp_path / "whole.jsonl", tmp_path / "resumed.jsonl"
    write(whole, range(0, 10))
    write(resumed, range(0, 7))
    with resumed.open("ab") as file:
        file.write(torn)
    write(resumed, range(5, 10), step0=4)
    assert resumed.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resumed.jsonl", "whole.jsonl"]


def test_a_last_line_without_its_end_is_kept_whole_or_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}')
    write(path, [], step0=2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
    path.write_text('{"step": 1}\n{"step": 2')
    assert read_metrics(path) == [{"step": 1}]
    write(path, [], step0=2)
    assert path.read_text() == '{"step": 1}\n'


@pytest.mark.parametrize("line", ["garbage", "", "[1]", '{"loss": 1}', '{"step": "1"}'])
def test_damage_before_the_last_line_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(InputError, match=rf"^{path} is damaged: line 2 is b'") as caught:
        MetricsLog(path, 5)
    assert line in str(caught.value)
    assert path.read_text().count("\n") == 3


def test_a_file_that_cannot_be_opened_read_or_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*file/x: "):
        MetricsLog(tmp_path / "file" / "x")
    with pytest.raises(InputError, match=r"cannot read .*nothing: No such file"):
        read_metrics(tmp_path / "nothing")
    metrics = MetricsLog(tmp_path / "metrics.jsonl")
    metrics._file.close()
    metrics._file = open("/dev/full", "ab")  # noqa: SIM115
    with pytest.raises(InputError, match=r"metrics\.jsonl: No space left on device"):
        metrics.write(1, {"loss": 1.0})
    with pytest.raises(InputError, match=r"metrics\.jsonl: No space left on device"):
        metrics.close()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(log, "time", clock)
    return clock


def test_without_a_terminal_a_line_every_ten_seconds(clock):
    stream = io.StringIO()
    with Progress(1000, 900, stream=stream) as progress:
        for step in range(901, 1001):
            clock.now += 0.5
            progress.update(step, {"g": 1.23456789, "d": step})
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[0] == "step 901/1000  g=1.235 d=901  0.5 s/step  00:49 left"
    assert lines[1] == "step 921/1000  g=1.235 d=921  0.5 s/step  00:39 left"
    assert lines[-1] == "step 1000/1000  g=1.235 d=1000  0.5 s/step  00:00 left"


def test_on_a_terminal_a_bar(monkeypatch):
    stream = Terminal()
    with Progress(4, 1, stream=stream) as progress:
        progress.update(2, {"g": 0.5})
        progress.say("hello")
        progress.update(4, {"g": 0.25})
    text = stream.getvalue()
    assert "hello\n" in text
    assert "4/4" in text
    assert "g=0.25" in text
    assert "\r" in text
