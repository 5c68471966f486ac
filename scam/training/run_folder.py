# SPDX-License-Identifier: Apache-2.0
"""The folder a training run leaves behind.

::

    OUT/config.json                      every setting of the run
    OUT/README.md                        model card, written at the end
    OUT/metrics.jsonl                    one line per logged step
    OUT/samples/step_0000100.png         image sheets
    OUT/checkpoints/step_0000100/        model.safetensors, config.json, training.pt
    OUT/checkpoints/step_0000100/manifest.json   sizes and digests of these files
    OUT/checkpoints/latest               the name of the newest step folder
"""

import contextlib
import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scam.checkpoints.step_folders import CHECKPOINTS, newest_step_folder
from scam.checkpoints.weights import CONFIG
from scam.errors import InputError
from scam.storage.files import sweep, write_json
from scam.storage.locks import is_lock
from scam.storage.reading import folder_like, identity, read_json
from scam.training.log import read_metrics
from scam.training.trackers import TENSORBOARD, WANDB

SAMPLES = "samples"


@dataclass(frozen=True)
class RunFolder:
    """An opened run folder: where everything goes, and the settings stored in it."""

    path: Path
    config: dict[str, Any]
    identity: tuple[int, ...] | None = None
    """Device and inode of the folder that was opened."""

    @classmethod
    def start(cls, out: str | os.PathLike[str], config: Mapping[str, Any]) -> "RunFolder":
        """Start a run in ``out``, made if missing, with settings that JSON can hold.

        InputError if ``out`` is a file, not empty, or not writable.
        """
        path = _expect_folder(out)
        try:
            names = os.listdir(path) if path.is_dir() else []
        except OSError as error:
            raise InputError(f"cannot read {{out}}: {error.strerror}", out=path) from error
        if any(not name.endswith(".partial") and not is_lock(name) for name in names):
            mend = "resume its run with {:resume}, or give another folder"
            raise InputError(f"{{out}} is not empty: {mend}", out=path)
        run = cls(path, _as_json(config))
        run._sweep()
        run.store()
        return replace(run, identity=identity(path))

    @classmethod
    def resume(
        cls,
        out: str | os.PathLike[str],
        asked: Mapping[str, Any],
        may_change: Collection[str] = (),
    ) -> "RunFolder":
        """Open the run in ``out`` to continue it; one without a checkpoint begins again.

        Stored settings fill in what was not ``asked``; :meth:`store` writes the result.
        may_change: those that may differ, ``section.setting`` where they are in a section.

        InputError if there is no run in ``out``, or one with other settings.
        """
        path = _expect_folder(out)
        if not (path / CONFIG).is_file():
            like = "" if path.exists() else folder_like(path)
            message = f"{{resume}}: there is no run in {path} (no {CONFIG}){like}"
            raise InputError(message, resume=True)
        run = cls(path, _merged(path / CONFIG, _as_json(asked), may_change), identity(path))
        run._sweep()
        return run

    def _sweep(self) -> None:
        for folder in (self.path, self.checkpoints, self.path / SAMPLES):
            sweep(folder, locked=True)

    def expect_there(self) -> None:
        """InputError if the folder was removed, renamed or replaced: nothing may be written."""
        if self._is_another() or not (self.path / CONFIG).is_file():
            gone = "{out} was removed, renamed or replaced during the run"
            raise InputError(f"{gone}: nothing more was written there", out=self.path)

    def _is_another(self) -> bool:
        return self.identity is not None and identity(self.path) != self.identity

    def store(self) -> None:
        """Write the settings."""
        write_json(self.path / CONFIG, self.config)

    def has_steps(self) -> bool:
        """Whether the run has logged or saved anything of a step."""
        logged = read_metrics(self.metrics) if self.metrics.exists() else []
        saved = newest_step_folder(self.checkpoints)
        return saved is not None or any(entry["step"] > 0 for entry in logged)

    def discard(self) -> None:
        """Remove what a run that failed to start has written, and the folder if empty."""
        if self._is_another():
            return
        for name in (CONFIG, self.metrics.name):
            (self.path / name).unlink(missing_ok=True)
        for name in (SAMPLES, CHECKPOINTS, TENSORBOARD, WANDB):
            shutil.rmtree(self.path / name, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()

    @property
    def metrics(self) -> Path:
        """The file of metrics, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def card(self) -> Path:
        """The model card, written when a run ends."""
        return self.path / "README.md"

    @property
    def checkpoints(self) -> Path:
        """The folder of step folders."""
        return self.path / CHECKPOINTS

    def sample(self, step: int) -> Path:
        """Where the image sheet of ``step`` goes."""
        return self.path / SAMPLES / f"step_{step:07d}.png"


def _expect_folder(out: str | os.PathLike[str]) -> Path:
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise InputError("{out} is a file, expected a folder", out=path)
    return path


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(settings))
    return found


def _clash(name: str, old: object, new: object) -> str:
    if old is None:
        return f"this run was started without {{:{name}}}, not with {new!r}"
    return f"{{:{name}}} is {old!r} in this run, not {new!r}"


def _merged(path: Path, asked: dict[str, Any], may_change: Collection[str]) -> dict[str, Any]:
    """What is stored in ``path``, its sections filled up and all else replaced by ``asked``."""
    merged, clashes = read_json(path), []
    for key, value in asked.items():
        section = isinstance(merged.get(key), dict) and isinstance(value, dict)
        old, new, prefix = (
            (merged[key], value, f"{key}.") if section else (merged, {key: value}, "")
        )
        clashes += [
            _clash(name, old.get(name), new[name])
            for name in new
            if old.get(name) != new[name] and f"{prefix}{name}" not in may_change
        ]
        old.update(new)
    if clashes:
        differ = "; ".join(clashes)
        raise InputError(f"{{resume}}: {path} has other settings: {differ}", resume=True)
    return merged
