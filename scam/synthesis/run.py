# SPDX-License-Identifier: Apache-2.0
"""A run of training from its settings to its checkpoint, for the command and for Python."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch

from scam.commandline.device import open_device
from scam.data.options import DataOptions
from scam.errors import InputError, did_you_mean
from scam.models.config import ModelConfig
from scam.synthesis.job import heading, make_job, open_run
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.settings import asked_settings, config_of
from scam.synthesis.task import run_job
from scam.training.distributed import join
from scam.training.run_folder import RunFolder


class Trained(NamedTuple):
    """What a run left, and whether this is the process of several that wrote it."""

    folder: RunFolder
    sheet: Path
    is_main: bool


def train(
    *,
    kind: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    device: str | torch.device | None = None,
    **settings: Any,
) -> Path:
    """Train a model and return its run folder, which :func:`scam.load` opens.

    What ``python -m scam.train`` does, with its flags as arguments::

        run = train(data="photos", size=(96, 64), fused_sca=True, steps=1500, out="runs/photos")

    ``python -m scam.train --help`` lists the settings and their defaults. It prints and saves as
    the command does, and Ctrl-C finishes the step and saves before it raises.

    Args:
        kind: of model, ``--model``; by default SCAM, or that of the run to resume.
        out: run folder, by default a new one under ``runs/``.
        resume: resume the run in ``out``.
        device: cpu, cuda or cuda:N, by default a GPU if there is one.
        settings: of data, model and training; a size is (H, W).

    Raises:
        InputError: a setting, a file or the device cannot be used, or the run diverged.
        scam.errors.Interrupted, scam.errors.Stopped: after Ctrl-C or SIGTERM; all is saved.
    """
    config = config_of(kind, out if resume else None)
    known = {"preset"}
    for section in (DataOptions, config, SynthesisOptions):
        known |= {name for name, what in section.settings().items() if what.flag}
    for name in settings:
        if name not in known:
            of = f"expected a setting of training a model of kind {config.kind!r}"
            raise InputError(f"{name}: {of}{did_you_mean(name, known)}")
    asked = settings if kind is None else {"kind": kind, **settings}
    place, on = (None if word is None else str(word) for word in (out, device))
    return run_training(asked, config, place, resume, on).folder.path


def run_training(
    asked: Mapping[str, Any],
    config: type[ModelConfig],
    out: str | None,
    resume: bool,
    device: str | None,
) -> Trained:
    """:func:`train` for settings ``asked`` of a kind of model; None: the default."""
    with join(open_device(device)) as (world, place), ExitStack() as stack:
        folder, resumed = world.from_main(
            lambda: open_run(asked_settings(asked, config), out, resume, stack)
        )
        try:
            job = make_job(folder, resumed, place, world)
            about = "\n".join([heading(job), *resumed.said])
            sheet = run_job(job, resume=resume, heading=about)
        except BaseException:
            if world.is_main and not resume and not folder.has_steps():
                folder.discard()
            raise
        return Trained(folder, sheet, world.is_main)
