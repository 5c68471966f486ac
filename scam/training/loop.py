# SPDX-License-Identifier: Apache-2.0
"""From settings to a trained model: build, step, look, save, resume."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from scam.data import PairDataset, batches
from scam.errors import InputError, Stopped
from scam.models import Discriminator, ModelConfig, Scam
from scam.training import checkpoint
from scam.training.evaluation import (
    colour_floors,
    learn_mean_tokens,
    paint_sheet,
    reconstruction_psnr,
)
from scam.training.loading import describe
from scam.training.log import MetricsLog, Progress
from scam.training.options import TrainOptions
from scam.training.perceptual import build_perceptual
from scam.training.precision import resolve_precision
from scam.training.run_folder import RunFolder
from scam.training.trainer import Trainer
from scam.training.watch import SkipWatch, StopSignal


@dataclass(frozen=True)
class Job:
    """All that a run works on."""

    folder: RunFolder
    model: ModelConfig
    options: TrainOptions
    train: PairDataset
    held_out: PairDataset
    device: torch.device


def train(job: Job, *, resume: bool = False, say: Callable[[str], None] = print) -> Path:
    """Run ``job`` to its last step, from its newest checkpoint if ``resume``.

    Returns the path of the last sheet. On the CPU a resumed run ends with the bits of one that
    never stopped. Raises InputError when a checkpoint cannot be read or written, or when several
    steps in a row have gradients that are not finite; Stopped, with everything saved, after
    SIGTERM.
    """
    options = job.options
    trainer = _build(job, say)
    done = _restore(job, trainer) if resume else 0
    if done >= options.steps:
        raise InputError(f"--steps {options.steps}: this run has already done {done}")
    if resume:  # a new run's settings are written when its folder is
        job.folder.store()
    per_step = options.batch_size * options.accumulate
    stream = batches(
        job.train, per_step, seed=options.seed, start_step=done, workers=options.workers
    )
    recent: list[dict[str, torch.Tensor]] = []
    with (
        MetricsLog(job.folder.metrics, done, tensorboard=True) as log,
        Progress(options.steps, done) as progress,
        StopSignal() as stop,
    ):
        watch = SkipWatch()
        if done == 0:
            floors = colour_floors(job.train, job.held_out)
            log.write(0, floors)
            progress.say(_floor_line(floors, len(job.held_out)))
        for step in range(done + 1, options.steps + 1):
            batch = next(stream)
            recent.append(trainer.step(batch["image"], batch["labels"], step))
            last = step == options.steps or stop.asked
            if step % options.log_every == 0 or step % options.save_every == 0 or last:
                losses, skipped = _means(recent)
                watch.add(skipped, step)
                counted = {"skipped": float(watch.total)} if watch.total else {}
                log.write(step, losses | counted)
                progress.update(step, losses | counted)
                recent.clear()
            _look(job, trainer, step, last, log, progress)
            if stop.asked and step < options.steps:
                raise Stopped(
                    f"stopped by SIGTERM after step {step}, saved in {job.folder.path}; "
                    f"go on with --resume --out {job.folder.path}"
                )
    return job.folder.sample(options.steps)


def _build(job: Job, say: Callable[[str], None]) -> Trainer:
    options = job.options
    torch.manual_seed(options.seed)
    precision = resolve_precision(options.amp, job.device)
    if options.amp:
        say(precision.reason)
    weights = None if options.perceptual_weights is None else Path(options.perceptual_weights)
    perceptual: nn.Module = nn.Identity()
    if options.perceptual != "none":
        perceptual = build_perceptual(
            options.perceptual,  # type: ignore[arg-type]  # resolve_perceptual has checked it
            weights,
            released=job.model.released,
        )
    model = Scam(job.model, fused=options.fused_sca)
    return Trainer(model, Discriminator(job.model), perceptual, options, precision, job.device)


def _restore(job: Job, trainer: Trainer) -> int:
    newest = job.folder.newest()
    assert newest is not None, "RunFolder.create has made sure"
    state = checkpoint.load_training(newest)
    try:
        trainer.load_state_dict(state["trainer"])
        return int(state["step"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{newest}: not a checkpoint of this configuration ({reason})") from error


def _look(
    job: Job, trainer: Trainer, step: int, last: bool, log: MetricsLog, progress: Progress
) -> None:
    """Evaluate, paint and save whatever is due at ``step``, with the averaged weights."""
    options = job.options
    evaluate, sample, save = (
        last or step % every == 0
        for every in (options.eval_every, options.sample_every, options.save_every)
    )
    if not (evaluate or sample or save):
        return
    with trainer.ema.applied():
        if evaluate:
            psnr = reconstruction_psnr(trainer.model, job.held_out, options.batch_size)
            log.write(step, {"psnr": psnr.pooled, "psnr_per_image": psnr.per_image})
            progress.say(
                f"step {step}: held-out PSNR {psnr.pooled:.2f} dB pooled, "
                f"{psnr.per_image:.2f} dB per picture"
            )
        if sample:
            paint_sheet(trainer.model, job.held_out, job.folder.sample(step))
        if save:
            learn_mean_tokens(trainer.model, job.train, options.batch_size)
            tensors = {name: x.clone() for name, x in trainer.model.state_dict().items()}
    if save:
        checkpoint.save(
            job.folder,
            step,
            tensors,
            describe(job.model, job.train.source),
            {"step": step, "trainer": trainer.state_dict()},
        )


def _means(recent: list[dict[str, torch.Tensor]]) -> tuple[dict[str, float], list[float]]:
    """Each loss over the steps that had it and counted; which steps were skipped."""
    names = [name for name in recent[-1] if name != "skipped"]
    columns = [torch.stack([x[name] for x in recent if name in x]).nanmean() for name in names]
    skipped = torch.stack([x["skipped"] for x in recent])
    values = torch.cat([torch.stack(columns), skipped]).tolist()  # one transfer off the device
    return dict(zip(names, values, strict=False)), values[len(names) :]


def _floor_line(floors: dict[str, float], count: int) -> str:
    return (
        f"flat colours on the {count} held-out pictures: "
        f"{floors['psnr_mean_colours']:.2f} dB with the training set's mean per label, "
        f"{floors['psnr_own_colours']:.2f} dB with each picture's own"
    )
