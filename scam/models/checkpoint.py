# SPDX-License-Identifier: Apache-2.0
"""Trained models and what their label maps mean."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from scam.checkpoints.step_folders import CHECKPOINTS, resolve_checkpoint
from scam.checkpoints.weights import CONFIG
from scam.data import SOURCES, LabelValues, PairSource, open_source
from scam.data.fit import Fit, Frame
from scam.data.names import expect_known_names, names_file
from scam.data.options import DataOptions
from scam.data.train_val_test import SPLITS
from scam.errors import InputError
from scam.models.base import SynthesisModel
from scam.models.config import ModelConfig
from scam.models.description import describe_model
from scam.storage.reading import read_json


@dataclass(frozen=True)
class Checkpoint:
    """A trained model, what its label maps mean, and how images of other proportions fit it."""

    path: Path
    model: SynthesisModel
    fit: Fit = "squash"

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """What the labels are called."""
        return tuple(self.model.label_names)

    @cached_property
    def label_values(self) -> LabelValues:
        """Which label a value of a label file is."""
        return self.model.label_values

    @property
    def frame(self) -> Frame:
        """What the model sees of an image."""
        return Frame(self.model.config.size, self.fit)

    @property
    def files(self) -> list[Path]:
        """Where it is: what its step folder holds, and the settings of the run around that."""
        run = run_around(self.path)
        return [*self.path.iterdir(), *([] if run is None else [run / CONFIG])]


def describe(model: ModelConfig, source: PairSource) -> dict[str, Any]:
    """The ``config.json`` of a step folder, which :func:`load_checkpoint` reads."""
    return describe_model(model, {**describe_labels(source), "fit": source.fit})


def describe_labels(source: PairSource) -> dict[str, Any]:
    """What the labels are called, and how the values of label files become them."""
    return {
        "label_names": list(source.label_set.names),
        "label_values": source.label_values.as_dict(),
    }


def load_checkpoint(
    path: str | Path,
    *,
    device: torch.device | str = "cpu",
    fused: bool = True,
    fit: Fit | None = None,
) -> Checkpoint:
    """Open a run folder, one of its step folders or ``demo``: averaged weights, evaluation mode.

    fit: of images of other proportions, by default as the model was trained. Raises InputError
    when nothing complete is there, the weights are of another model, or the device cannot be used.
    """
    if not isinstance(fused, bool):
        raise InputError("{fused}: expected true or false", fused=fused)
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError("{device}: expected cpu, cuda or cuda:N", device=device) from error
    folder = resolve_checkpoint(path)
    model = SynthesisModel.open(folder, fused=fused)
    about = model.about
    for name in ("label_names", "label_values"):
        if about.get(name) is None:
            raise InputError(f"{folder / CONFIG}: no entry {name!r}")
    # Models saved before there was a choice saw squashed images.
    trained = about.get("fit", "squash")
    if fit is not None:
        DataOptions(fit=fit)  # checks it
    try:
        model = model.to(device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        message = f"{{device}}: cannot be used here ({reason})"
        raise InputError(message, device=str(device)) from error
    return Checkpoint(folder, model, trained if fit is None else fit)


def load(
    path: str | Path, *, device: torch.device | str = "cpu", fused: bool = True
) -> SynthesisModel:
    """Load a trained model from a run folder or one of its ``checkpoints/step_*`` folders.

    ``"demo"`` is the model that comes with this package, trained on drawn mannequins; a folder of
    that name is ``"./demo"``.

    The model holds the averaged weights and is in evaluation mode. ``fused=False`` computes the
    dense attention of the paper instead. Raises InputError when there is no complete checkpoint.
    """
    return load_checkpoint(path, device=device, fused=fused).model


def run_around(step_folder: Path) -> Path | None:
    """The run folder that a step folder is in, None where it was moved out of it."""
    run = step_folder.parent.parent
    inside = step_folder.parent.name == CHECKPOINTS and (run / CONFIG).is_file()
    return run if inside else None


def stored_data(checkpoint: Checkpoint) -> dict[str, Any]:
    """The section ``data`` of the run around a checkpoint.

    Without a run, what a model says of its training tells whether its images are one of
    ``SOURCES``; else the section is empty. InputError if one of its settings is unusable.
    """
    run = run_around(checkpoint.path)
    if run is None:
        trained = checkpoint.model.about.get("trained", {})
        name = str(trained.get("data"))
        # Labels are compared, for a folder of photographs may be called mannequins.
        known = name in SOURCES and open_source(name, "val").label_set.names
        return {"data": name} if known == checkpoint.label_names else {}
    data = read_json(run / CONFIG).get("data", {})
    try:
        DataOptions.from_dict(data)
    except InputError as error:
        raise InputError(f"{run / CONFIG}: {error}") from error
    return dict(data)


def expect_names(checkpoint: Checkpoint, folder: Path, labels: str) -> None:
    """InputError if the names of the label maps in ``folder/<labels>`` contradict the model's.

    A label set given in training speaks for the images trained on, and for no others.
    """
    folder = named(folder)
    if folder.name in SPLITS and names_file(folder, labels) is None:
        folder = folder.parent
    trained = stored_data(checkpoint)
    own = labels == trained.get("labels", "labels") and same_folder(folder, trained.get("data"))
    if not own or trained.get("label_set") is None:
        told = checkpoint.model.about.get("trained", {})
        merged = trained.get("merge") is not None or "labels merged by" in told
        known = checkpoint.label_names, checkpoint.label_values
        expect_known_names(folder, labels, *known, merged=merged)


def named(folder: Path) -> Path:
    """``folder`` by a path that ends in its name, which ``.`` and ``..`` do not."""
    return Path(os.path.abspath(folder)) if folder.name in ("", "..") else folder


def same_folder(folder: str | Path, other: str | Path | None) -> bool:
    """Whether both lead to one place."""
    return other is not None and Path(folder).resolve() == Path(other).resolve()
