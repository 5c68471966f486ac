# SPDX-License-Identifier: Apache-2.0
"""The folder a training run leaves behind.

::

    OUT/config.json                      every setting of the run
    OUT/README.md                        model card, written at the end
    OUT/metrics.jsonl                    one line per logged step
    OUT/samples/step_0000100.png         picture sheets
    OUT/checkpoints/step_0000100/        model.safetensors, config.json, training.pt
    OUT/checkpoints/step_0000100/manifest.json   sizes and digests of these files
    OUT/checkpoints/latest               the name of the newest step folder
"""

import contextlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scam.checkpoints.step_folders import (
    CHECKPOINTS,
    is_complete,
    newest_step_folder,
    step_folders,
)
from scam.checkpoints.weights import CONFIG
from scam.errors import InputError
from scam.storage.files import remove_folder, sweep, write_aside, write_json
from scam.storage.locks import is_lock
from scam.storage.reading import identity, read_json
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

        Raises:
            InputError: ``out`` is a file, not empty, or not writable.
        """
        path = _expect_folder(out)
        if _used(path):
            raise InputError(
                "{out} is not empty: continue its run with {:resume}, or give another folder",
                out=path,
            )
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

        Args:
            out: the folder.
            asked: settings that were asked for; the stored ones fill in the rest, and
                :meth:`store` writes the result.
            may_change: settings that may differ from the stored ones, such as the number of
                steps; a setting inside another is written ``outer.inner``.

        Raises:
            InputError: there is no run in ``out``, or one with other settings.
        """
        path = _expect_folder(out)
        settings = _merge(path / CONFIG, _stored_config(path), _as_json(asked), may_change)
        run = cls(path, settings, identity(path))
        run._sweep()
        return run

    def _sweep(self) -> None:
        for folder in (self.path, self.checkpoints, self.path / SAMPLES):
            sweep(folder, locked=True)

    def expect_there(self) -> None:
        """InputError if the folder was removed, renamed or replaced: nothing may be written."""
        if self.identity is None:
            return
        if identity(self.path) != self.identity or not (self.path / CONFIG).is_file():
            raise InputError(
                "{out} was removed, renamed or replaced while the run went on: "
                "nothing more was written, expected it to stay; its checkpoints, where it was "
                "renamed, can be resumed",
                out=self.path,
            )

    def store(self) -> None:
        """Write the settings."""
        write_json(self.path / CONFIG, self.config)

    def has_steps(self) -> bool:
        """Whether the run has logged or saved anything of a step."""
        logged = read_metrics(self.metrics) if self.metrics.exists() else []
        return any(entry["step"] > 0 for entry in logged) or self.newest() is not None

    def discard(self) -> None:
        """Remove what a run that failed to start has written, and the folder if empty."""
        if self.identity is not None and identity(self.path) != self.identity:
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
        """Where the picture sheet of ``step`` goes."""
        return self.path / SAMPLES / f"step_{step:07d}.png"

    def step_folder(self, step: int) -> Path:
        """Where the checkpoint of ``step`` goes."""
        return self.checkpoints / f"step_{step:07d}"

    def newest(self) -> Path | None:
        """The step folder to continue from: the one ``latest`` names, else the highest whole."""
        return newest_step_folder(self.checkpoints)

    def point_latest(self, step: int) -> None:
        """Let ``latest`` name the step folder of ``step``."""
        with write_aside(self.checkpoints / "latest") as file:
            file.write(f"{self.step_folder(step).name}\n".encode())

    def keep_last(self, count: int) -> None:
        """Remove all step folders but the ``count`` highest and the one ``latest`` names."""
        newest = self.newest()
        for folder in list(filter(is_complete, step_folders(self.checkpoints)))[count:]:
            if folder != newest:
                remove_folder(folder)


def _expect_folder(out: str | os.PathLike[str]) -> Path:
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise InputError("{out} is a file, expected a folder", out=path)
    return path


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(settings))
    return found


def _used(path: Path) -> bool:
    try:
        names = os.listdir(path) if path.is_dir() else []
        return any(not name.endswith(".partial") and not is_lock(name) for name in names)
    except OSError as error:
        raise InputError(f"cannot read {{out}}: {error.strerror}", out=path) from error


def _stored_config(path: Path) -> dict[str, Any]:
    if not (path / CONFIG).is_file():
        raise InputError(f"{{resume}}: there is no run in {path} (no {CONFIG})", resume=True)
    return read_json(path / CONFIG)


def _merge(
    source: Path, stored: dict[str, Any], asked: dict[str, Any], may_change: Collection[str]
) -> dict[str, Any]:
    clashes = [
        f"{{:{key.split('.')[-1]}}} is {old!r} there, {new!r} was asked"
        for key, old, new in _differences(stored, asked)
        if key not in may_change
    ]
    if clashes:
        differ = "; ".join(clashes)
        raise InputError(f"{{resume}}: {source} has other settings: {differ}", resume=True)
    return _update(stored, asked)


def _differences(
    stored: dict[str, Any], asked: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    for key, new in asked.items():
        old = stored.get(key)
        if isinstance(old, dict) and isinstance(new, dict) and not prefix:  # a section
            yield from _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}", old, new


def _update(stored: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Sections are filled up, everything else is replaced."""
    merged = dict(stored)
    for key, new in asked.items():
        old = stored.get(key)
        section = isinstance(old, dict) and isinstance(new, dict)
        merged[key] = {**stored[key], **new} if section else new
    return merged
