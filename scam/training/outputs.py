# SPDX-License-Identifier: Apache-2.0
"""What a run leaves while it trains: numbers, sheets, checkpoints, the model card."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scam.data import MergeSpec
from scam.errors import InputError
from scam.models.card import model_card
from scam.models.checkpoint import describe
from scam.storage.files import write_aside
from scam.training import checkpoint
from scam.training.held_out import learn_mean_tokens, paint_sheet, reconstruction_psnr
from scam.training.job import Job
from scam.training.log import MetricsLog, NullLog, Progress
from scam.training.options import TrainOptions
from scam.training.restore import expect_finite_state, expect_trainable
from scam.training.trackers import open_trackers
from scam.training.trainer import Trainer
from scam.training.watch import SkipWatch
from scam.version import __version__


@contextmanager
def open_outputs(
    job: Job, done: int, say: Callable[[str], None], first: list[str]
) -> Iterator[tuple[MetricsLog | NullLog, Progress | NullLog]]:
    """Log and progress, of the main process alone; prints the lines ``first``."""
    if not job.world.is_main:
        yield NullLog(), NullLog()
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


@dataclass(frozen=True)
class Due:
    """What has to be done after a step."""

    log: bool
    evaluate: bool
    sample: bool
    save: bool

    @classmethod
    def at(cls, step: int, options: TrainOptions, stopping: bool) -> "Due":
        """At the last step everything; when ``stopping``, no more than saves what there is:
        what sent SIGTERM may not wait long.
        """
        last = step == options.steps
        evaluate, sample, save, log = (
            last or step % every == 0
            for every in (
                options.eval_every, options.sample_every, options.save_every, options.log_every,
            )
        )  # fmt: skip
        if stopping and not last:
            evaluate, sample, save = False, False, True
        return cls(log or save, evaluate, sample, save)


def evaluate_and_save(
    job: Job,
    trainer: Trainer,
    watch: SkipWatch,
    step: int,
    due: Due,
    log: MetricsLog | NullLog,
    progress: Progress | NullLog,
) -> None:
    """Evaluate, paint and save whatever is due at ``step``, with the averaged weights."""
    options = job.options
    if due.save:
        with job.world.agreed():
            job.world.check_equal(trainer.model.parameters())
    if not (due.evaluate or due.sample or due.save) or not job.world.is_main:
        return
    job.folder.expect_there()
    _expect_healthy(job, trainer, watch, step)
    facts = _card_facts(job, step)
    # Compiling for batches of other sizes and without gradients would not pay here.
    eager = torch.compiler.set_stance("force_eager") if options.compile else nullcontext()
    with eager, trainer.ema.applied():
        if due.evaluate:
            psnr = reconstruction_psnr(trainer.model, job.held_out, options.batch_size)
            scores = {"psnr": psnr.pooled, "psnr_per_image": psnr.per_image}
            log.write(step, scores)
            facts |= {f"held-out {name}": value for name, value in scores.items()}
            progress.say(
                f"step {step}: held-out PSNR {psnr.pooled:.2f} dB pooled, "
                f"{psnr.per_image:.2f} dB per picture"
            )
        if due.sample:
            job.folder.expect_there()  # measuring took its time
            paint_sheet(trainer.model, job.held_out, job.folder.sample(step))
        if due.save:
            learn_mean_tokens(trainer.model, job.train, options.batch_size)
            tensors = {name: x.clone() for name, x in trainer.model.state_dict().items()}
    if due.save:
        description = {**describe(job.config, job.train.source), "trained": facts}
        state = {"step": step, "trainer": trainer.state_dict(), "watch": watch.state_dict()}
        checkpoint.save(job.folder, step, tensors, description, state, job.split)
        if step == options.steps:
            with write_aside(job.folder.card) as file:
                file.write(model_card(job.config, description).encode())


def _expect_healthy(job: Job, trainer: Trainer, watch: SkipWatch, step: int) -> None:
    """InputError once the run has diverged: what is drawn, measured or saved could be trained on.

    So the checkpoints there are stay the ones to resume from.
    """
    try:
        expect_finite_state(trainer)
        expect_trainable(job, trainer)
        with trainer.ema.applied():
            expect_trainable(job, trainer)
    except InputError as error:
        raise watch.diverged(step, str(error)) from error


def _card_facts(job: Job, step: int) -> dict[str, Any]:
    """What a model card says of how the model was trained; no path of this machine."""
    options = job.options
    data = job.folder.config.get("data", {})
    merge = data.get("merge")
    adversarial = options.gan > 0 and step > options.gan_from
    told = {
        name: getattr(options, name)
        for name, what in options.settings().items()
        if what.told
        and (adversarial or (what.needs is None and name != "gan_from"))
        and getattr(options, name) != what.default
    }
    return {
        "data": Path(data.get("data", "")).name,
        "training pictures": len(job.train),
        "held-out pictures": len(job.held_out),
        **({} if job.split is None else {"split": job.split.digest}),
        "steps": step,
        "pictures per step": options.batch_size * options.accumulate,
        **job.config.facts,
        "perceptual": options.perceptual,
        "discriminator": options.discriminator if adversarial else "none",
        **({} if merge is None else {"labels merged by": _merge_name(merge)}),
        **told,
        "weights": f"averaged, {options.ema}",
        "scam": __version__,
        "torch": torch.__version__,
    }


def _merge_name(merge: MergeSpec) -> str:
    return Path(merge).name if isinstance(merge, str) else f"a file, to {', '.join(merge)}"
