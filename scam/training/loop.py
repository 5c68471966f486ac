# SPDX-License-Identifier: Apache-2.0
"""The training loop: build or resume, step, log, save."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scam.checkpoints.step_folders import TRAINING, offering_older
from scam.data import batches
from scam.errors import InputError, Stopped, counted
from scam.models.registry import build
from scam.training import checkpoint
from scam.training.adversary import build_discriminator
from scam.training.compiling import compiler_failures_named
from scam.training.held_out import colour_floors
from scam.training.job import Job, expect_room
from scam.training.outputs import Due, evaluate_and_save, open_outputs
from scam.training.perceptual import build_perceptual
from scam.training.precision import resolve_precision
from scam.training.restore import expect_trainable, restore
from scam.training.trainer import Trainer
from scam.training.watch import LIMIT, SCALED_LIMIT, SkipWatch, StopSignal


def train(
    job: Job, *, resume: bool = False, say: Callable[[str], None] = print, heading: str = ""
) -> Path:
    """Run ``job`` to its last step, from its newest checkpoint if there is one and ``resume``.

    ``heading`` is printed first, once everything has been checked.
    Returns the path of the last sheet. On the CPU a resumed run ends with the bits of one that
    never stopped. With several processes the main one alone writes and talks.

    Raises InputError when a checkpoint cannot be read or written, or when several steps in a row
    have gradients that are not finite; Stopped, with everything saved, after SIGTERM. A process
    that ends because of another raises PeerExited.
    """
    options, world = job.options, job.world
    per_step = options.batch_size * options.accumulate
    with world.agreed():
        if options.batch_size % world.size:
            raise InputError(
                f"{{batch_size}}: expected a multiple of the {world.size} processes, which "
                "share it",
                batch_size=options.batch_size,
            )
        expect_room(job)
    trainer = _build(job)
    watch = SkipWatch(job.folder, SCALED_LIMIT if trainer.precision.scaled else LIMIT)
    done = _restore(job, trainer, watch) if resume else 0
    with world.agreed():
        if done > options.steps:
            raise InputError(
                f"{{steps}}: this run has already done {done}, expected more", steps=options.steps
            )
        if done == options.steps:
            raise InputError(f"this run has already done {done}: give a larger {{:steps}}")
    if resume and world.is_main:  # a new run's settings are written when its folder is
        job.folder.store()
    stream = batches(
        job.train,
        per_step,
        seed=options.seed,
        start_step=done,
        workers=options.workers,
        places=world.share(per_step),
        pin=job.device.type == "cuda",
    )
    recent: list[dict[str, torch.Tensor]] = []
    said = [heading] if heading else []
    if options.amp:
        said.append(trainer.precision.reason)
    with open_outputs(job, done, say, said) as (log, progress), StopSignal() as stop:
        if done == 0 and world.is_main:
            floors = colour_floors(job.train, job.held_out)
            log.write(0, floors)
            progress.say(_floor_line(floors, len(job.held_out)))
        for step in range(done + 1, options.steps + 1):
            batch = next(stream)
            with compiler_failures_named(options.compile):
                recent.append(trainer.step(batch["image"], batch["labels"], step))
            asked = world.any(stop.asked)
            due = Due.at(step, options, stopping=asked)
            if due.log:
                with world.agreed():
                    world.from_main(job.folder.expect_there)
                losses, skipped = _means(recent)
                too_many = watch.add(skipped)
                counted = {"skipped": float(watch.total)} if watch.total else {}
                log.write(step, losses | counted)
                progress.update(step, losses | counted)
                recent.clear()
                if too_many:
                    with world.agreed():
                        raise watch.verdict(step)
            evaluate_and_save(job, trainer, watch, step, due, log, progress)
            if asked and step < options.steps:
                with world.agreed():
                    raise Stopped(
                        f"stopped by SIGTERM after step {step}, saved in {job.folder.path}; "
                        "go on with {resume} {out}",
                        resume=True,
                        out=job.folder.path,
                    )
    return job.folder.sample(options.steps)


def _build(job: Job) -> Trainer:
    options = job.options
    torch.manual_seed(options.seed)
    torch.backends.cudnn.benchmark = True  # convolutions meet the same shapes in every step
    precision = resolve_precision(options.amp, job.device)
    model = build(job.config).configure(fused=options.fused_sca)
    discriminator = build_discriminator(job.config, options)
    # Last: equal seeds give equal weights, whatever the perceptual loss draws.
    perceptual: nn.Module = nn.Identity()
    if options.perceptual != "none":
        weights = None if options.perceptual_weights is None else Path(options.perceptual_weights)
        perceptual = build_perceptual(options.perceptual, weights, released=job.config.released)
    with compiler_failures_named(options.compile):
        return Trainer(model, discriminator, perceptual, options, precision, job.device, job.world)


def _restore(job: Job, trainer: Trainer, watch: SkipWatch) -> int:
    """Take up the newest checkpoint, which the main process alone has; returns its step, or 0."""
    newest = job.world.from_main(job.folder.newest)
    if newest is None:
        return 0

    def take_up(step_folder: Path) -> dict[str, Any]:
        state = checkpoint.load_training(step_folder)
        restore(state, step_folder, trainer, watch)
        try:
            expect_trainable(job, trainer)
        except InputError as error:
            raise InputError(f"{step_folder / TRAINING}: cannot be trained on: {error}") from error
        return state

    def checked() -> dict[str, Any]:
        how = f"remove that step (rm -r {shlex.quote(str(newest))}) to resume from {{older.name}}"
        with offering_older(newest, take_up, how):
            return take_up(newest)

    state = job.world.from_main(checked)
    return restore(state, newest, trainer, watch)


def _means(recent: list[dict[str, torch.Tensor]]) -> tuple[dict[str, float], list[float]]:
    """Each loss over the steps that had it and counted; which steps were skipped."""
    names = [name for name in recent[-1] if name != "skipped"]
    columns = [torch.stack([x[name] for x in recent if name in x]).nanmean() for name in names]
    skipped = torch.stack([x["skipped"] for x in recent])
    values = torch.cat([torch.stack(columns), skipped]).tolist()  # one transfer off the device
    return dict(zip(names, values, strict=False)), values[len(names) :]


def _floor_line(floors: dict[str, float], count: int) -> str:
    return (
        f"flat colours on the {counted(count, 'held-out picture')}: "
        f"{floors['psnr_mean_colours']:.2f} dB with the training set's mean per label, "
        f"{floors['psnr_own_colours']:.2f} dB with each picture's own"
    )
