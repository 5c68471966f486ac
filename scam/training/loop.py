# SPDX-License-Identifier: Apache-2.0
"""From settings to a trained model: build, step, look, save, resume."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scam.data import PairDataset, batches
from scam.errors import InputError, Stopped
from scam.files import write_aside
from scam.models import ModelConfig, Scam
from scam.models.card import model_card
from scam.training import checkpoint
from scam.training.adversary import build_discriminator
from scam.training.distributed import ALONE, World
from scam.training.evaluation import (
    colour_floors,
    learn_mean_tokens,
    paint_sheet,
    reconstruction_psnr,
)
from scam.training.loading import describe
from scam.training.log import MetricsLog, Mute, Progress
from scam.training.options import TrainOptions
from scam.training.perceptual import build_perceptual
from scam.training.precision import resolve_precision
from scam.training.run_folder import RunFolder
from scam.training.trackers import open_trackers
from scam.training.trainer import Trainer
from scam.training.watch import SkipWatch, StopSignal
from scam.version import __version__


@dataclass(frozen=True)
class Job:
    """All that a run works on."""

    folder: RunFolder
    model: ModelConfig
    options: TrainOptions
    train: PairDataset
    held_out: PairDataset
    device: torch.device
    world: World = ALONE


def train(
    job: Job, *, resume: bool = False, say: Callable[[str], None] = print, heading: str = ""
) -> Path:
    """Run ``job`` to its last step, from its newest checkpoint if ``resume``.

    ``heading`` is said first, once nothing speaks against the run any more.
    Returns the path of the last sheet. On the CPU a resumed run ends with the bits of one that
    never stopped. With several processes the main one alone writes and talks.

    Raises InputError when a checkpoint cannot be read or written, or when several steps in a row
    have gradients that are not finite; Stopped, with everything saved, after SIGTERM. A process
    that ends because of another raises Elsewhere.
    """
    options, world = job.options, job.world
    per_step = options.batch_size * options.accumulate
    with world.agreed():
        if options.batch_size % world.size:
            raise InputError(
                f"--batch-size {options.batch_size}: expected a multiple of the {world.size} "
                "processes, which share it"
            )
    trainer = _build(job)
    done = _restore(job, trainer) if resume else 0
    with world.agreed():
        if done > options.steps:
            raise InputError(
                f"--steps {options.steps}: this run has already done {done}, expected more"
            )
        if done == options.steps:
            raise InputError(f"this run has already done {done}: give a larger --steps")
    if resume and world.is_main:  # a new run's settings are written when its folder is
        job.folder.store()
    stream = batches(
        job.train,
        per_step,
        seed=options.seed,
        start_step=done,
        workers=options.workers,
        places=world.share(per_step),
    )
    recent: list[dict[str, torch.Tensor]] = []
    said = [heading] if heading else []
    if options.amp:
        said.append(trainer.precision.reason)
    with _voice(job, done, say, said) as (log, progress), StopSignal() as stop:
        watch = SkipWatch()
        if done == 0 and world.is_main:
            floors = colour_floors(job.train, job.held_out)
            log.write(0, floors)
            progress.say(_floor_line(floors, len(job.held_out)))
        for step in range(done + 1, options.steps + 1):
            batch = next(stream)
            recent.append(trainer.step(batch["image"], batch["labels"], step))
            asked = world.any(stop.asked)
            last = step == options.steps or asked
            if step % options.log_every == 0 or step % options.save_every == 0 or last:
                losses, skipped = _means(recent)
                with world.agreed():
                    watch.add(skipped, step)
                counted = {"skipped": float(watch.total)} if watch.total else {}
                log.write(step, losses | counted)
                progress.update(step, losses | counted)
                recent.clear()
            _look(job, trainer, step, last, log, progress)
            if asked and step < options.steps:
                with world.agreed():
                    raise Stopped(
                        f"stopped by SIGTERM after step {step}, saved in {job.folder.path}; "
                        f"go on with --resume --out {job.folder.path}"
                    )
    return job.folder.sample(options.steps)


@contextmanager
def _voice(
    job: Job, done: int, say: Callable[[str], None], first: list[str]
) -> Iterator[tuple[MetricsLog | Mute, Progress | Mute]]:
    """Where numbers and words go: nowhere, but in the main process; says the ``first`` lines."""
    if not job.world.is_main:
        yield Mute(), Mute()
        return
    folder = job.folder
    trackers = open_trackers(folder.path, done, job.options.wandb, folder.config, first.append)
    with (
        MetricsLog(folder.metrics, done, trackers=trackers) as log,
        Progress(job.options.steps, done) as progress,
    ):
        for line in first:
            say(line)
        yield log, progress


def _build(job: Job) -> Trainer:
    options = job.options
    torch.manual_seed(options.seed)
    precision = resolve_precision(options.amp, job.device)
    weights = None if options.perceptual_weights is None else Path(options.perceptual_weights)
    perceptual: nn.Module = nn.Identity()
    if options.perceptual != "none":
        perceptual = build_perceptual(
            options.perceptual,  # type: ignore[arg-type]  # resolve_perceptual has checked it
            weights,
            released=job.model.released,
        )
    model = Scam(job.model, fused=options.fused_sca)
    discriminator = build_discriminator(job.model, options)
    return Trainer(model, discriminator, perceptual, options, precision, job.device, job.world)


def _restore(job: Job, trainer: Trainer) -> int:
    newest = job.folder.newest()
    assert newest is not None, "RunFolder.create has made sure"
    state = job.world.from_main(lambda: checkpoint.load_training(newest))
    try:
        trainer.load_state_dict(state["trainer"])
        return int(state["step"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{newest}: not a checkpoint of this configuration ({reason})") from error


def _look(
    job: Job,
    trainer: Trainer,
    step: int,
    last: bool,
    log: MetricsLog | Mute,
    progress: Progress | Mute,
) -> None:
    """Evaluate, paint and save whatever is due at ``step``, with the averaged weights."""
    options = job.options
    evaluate, sample, save = (
        last or step % every == 0
        for every in (options.eval_every, options.sample_every, options.save_every)
    )
    if save:
        with job.world.agreed():
            job.world.check_equal(trainer.model.parameters())
    if not (evaluate or sample or save) or not job.world.is_main:
        return
    facts = _facts(job, step)
    # Compiling for batches of other sizes and without gradients would not pay here.
    eager = torch.compiler.set_stance("force_eager") if options.compile else nullcontext()
    with eager, trainer.ema.applied():
        if evaluate:
            psnr = reconstruction_psnr(trainer.model, job.held_out, options.batch_size)
            scores = {"psnr": psnr.pooled, "psnr_per_image": psnr.per_image}
            log.write(step, scores)
            facts |= {f"held-out {name}": value for name, value in scores.items()}
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
        description = {**describe(job.model, job.train.source), "training": facts}
        state = {"step": step, "trainer": trainer.state_dict()}
        checkpoint.save(job.folder, step, tensors, description, state)
        if last:
            with write_aside(job.folder.card) as file:
                file.write(model_card(description).encode())


def _facts(job: Job, step: int) -> dict[str, Any]:
    """What a model card says of how the model was trained; no path of this machine."""
    options = job.options
    data = job.folder.config.get("data", {})
    return {
        "data": Path(data.get("data", "")).name,
        "training pictures": len(job.train),
        "held-out pictures": len(job.held_out),
        "steps": step,
        "pictures per step": options.batch_size * options.accumulate,
        "fidelity": job.model.fidelity,
        "perceptual": options.perceptual,
        "discriminator": options.discriminator if options.gan else "none",
        "weights": f"averaged, {options.ema}",
        "scam": __version__,
        "torch": torch.__version__,
    }


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
