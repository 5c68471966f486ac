# SPDX-License-Identifier: Apache-2.0
"""TensorBoard and Weights & Biases get the numbers of the log, where they are wanted."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from scam.errors import InputError
from scam.training.log import MetricsLog
from scam.training.trackers import open_trackers


def log(run, step0=0, project=None):
    trackers = open_trackers(run, step0, project, {"seed": 3})
    return MetricsLog(run / "metrics.jsonl", step0, trackers=trackers)


@pytest.fixture
def wandb(monkeypatch):
    """Stands in for the package and notes what it is asked."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", "/nowhere")
    monkeypatch.setenv("HOME", "/nowhere")
    module = ModuleType("wandb")
    module.started, module.rows, module.ended = [], [], []

    def init(**settings):
        module.started.append(settings)
        return SimpleNamespace(
            log=lambda numbers, step: module.rows.append((step, numbers)),
            finish=lambda: module.ended.append(True),
            url="https://wandb.ai/run",
        )

    class Error(Exception):
        pass

    module.init, module.Error = init, Error
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    return module


def test_tensorboard_is_not_needed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with log(tmp_path) as metrics:
        metrics.write(1, {"loss": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_tensorboard_gets_the_numbers(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with log(tmp_path) as metrics:
        for step in (1, 2):
            metrics.write(step, {"loss": step / 2, "bad": float("nan"), "name": "x"})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.5), (2, 1.0)]


def test_wandb_gets_the_numbers_and_stays_offline_without_a_login(tmp_path, wandb, capsys):
    with log(tmp_path, project="people") as metrics:
        metrics.write(1, {"loss": 0.5, "bad": float("nan"), "name": "x"})
    (started,) = wandb.started
    assert started["project"] == "people"
    assert started["mode"] == "offline"
    assert started["config"] == {"seed": 3}
    assert wandb.rows == [(1, {"loss": 0.5})]
    assert wandb.ended
    assert started["settings"] == {"silent": True}
    folder = tmp_path / "wandb"
    assert capsys.readouterr().out == f"wandb: offline in {folder}, upload with wandb sync\n"


def test_wandb_is_online_with_a_key_and_as_its_mode_says(tmp_path, wandb, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    log(tmp_path, project="people").close()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    log(tmp_path, project="people").close()
    assert [settings["mode"] for settings in wandb.started] == ["online", "disabled"]
    assert capsys.readouterr().out == "wandb: https://wandb.ai/run\nwandb: disabled\n"


@pytest.mark.parametrize("mode", ["online", "shared", "run"])
def test_without_a_login_nobody_is_asked_for_one(tmp_path, wandb, monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    with pytest.raises(InputError, match=rf"^WANDB_MODE={mode}: expected a login, by wandb login"):
        log(tmp_path, project="people")
    assert wandb.started == []


def test_a_login_is_looked_up_as_wandb_does(tmp_path, wandb, monkeypatch):
    asked = []
    wandb.login = lambda **how: asked.append(how) or True
    log(tmp_path, project="people").close()
    monkeypatch.setenv("WANDB_MODE", "offline")
    log(tmp_path, project="people").close()
    assert [settings["mode"] for settings in wandb.started] == ["online", "offline"]
    assert asked == [{"prompt": False, "verify": False}]


def test_what_wandb_refuses_is_one_line(tmp_path, wandb, monkeypatch):
    def refuse(**settings):
        raise wandb.Error("WANDB_API_KEY invalid: too short\nTry again")

    monkeypatch.setenv("WANDB_API_KEY", "bad")
    wandb.init = refuse
    with pytest.raises(InputError, match=r"^wandb='people': WANDB_API_KEY invalid: too short$"):
        log(tmp_path, project="people")


@pytest.mark.parametrize("project", ["", " ", "a/b", "50%"])
def test_a_name_that_wandb_does_not_take(tmp_path, wandb, project):
    with pytest.raises(InputError, match=f"^wandb='{project}': expected the name of a project"):
        log(tmp_path, project=project)
    assert wandb.started == []


def test_a_resumed_run_is_the_same_run_of_wandb(tmp_path, wandb):
    log(tmp_path, project="people").close()
    log(tmp_path, 10, project="people").close()
    first, second = wandb.started
    assert first["id"] == second["id"]
    assert first["resume"] == "allow"


def test_wandb_that_is_not_installed_is_asked_for_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"wandb='people': wandb is not installed \(pip install"):
        log(tmp_path, project="people")


@pytest.mark.slow
def test_the_real_wandb_writes_offline(tmp_path, monkeypatch, capfd):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with log(tmp_path, project="people") as metrics:
        metrics.write(1, {"loss": 0.5})
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    said = capfd.readouterr()
    assert (said.out.count("\n"), said.err) == (1, "")
