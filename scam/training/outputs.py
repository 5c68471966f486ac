# SPDX-License-Identifier: Apache-2.0
"""What a run leaves while it trains, and when: numbers, sheets, checkpoints, the model card."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch

from scam.checkpoints.step_folders import save
from scam.errors import InputError
from scam.storage.files import write_aside
from scam.training.divergence import Watch
from scam.training.log import MetricsLog, Progress
from scam.training.options import TrainOptions
from scam.training.run_folder import RunFolder
from scam.training.task import Measured, Task
from scam.training.trackers import open_trackers
from scam.training.trainer import Trainer


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
        intervals = options.log_every, options.eval_every, options.sample_every, options.save_every
        log, evaluate, sample, save = (
            step == options.steps or (step % every == 0 and not stopping) for every in intervals
        )
        return cls(log or save or stopping, evaluate, sample, save or stopping)


class Run(NamedTuple):
    """A task under way: what steps it, what counts skipped steps, where its files go."""

    task: Task
    trainer: Trainer
    watch: Watch
    folder: RunFolder


@dataclass(frozen=True)
class Outputs:
    """Log, progress, sheets and checkpoints of a run, all written by the main process."""

    run: Run
    log: MetricsLog
    progress: Progress

    def tell(self, step: int, found: Measured) -> None:
        """Log numbers and say words, if there are any."""
        if found.numbers:
            self.log.write(step, found.numbers)
        if found.words:
            self.progress.say(f"step {step}: {found.words}" if step else found.words)

    def after(self, step: int, due: Due) -> None:
        """Measure, draw and save whatever is due after ``step``, with the averaged weights. Where
        a file that is measured on cannot be read any more, the step is saved all the same.
        """
        self.run.folder.expect_there()
        self._expect_healthy(step)
        try:
            measured = self._look(step, due)
        except InputError:
            if due.save:
                self._save(step, Measured())
            raise
        if due.save:
            self._save(step, measured)

    def _look(self, step: int, due: Due) -> Measured:
        """Measure and draw."""
        task, trainer, _, folder = self.run
        average, measured = trainer.average.module, Measured()
        if due.evaluate:
            measured = task.measure(average)
            self.tell(step, measured)
        if due.sample:
            folder.expect_there()  # measuring took its time
            task.sheet(average, step, folder.sample(step))
        return measured

    def _save(self, step: int, measured: Measured) -> None:
        task, trainer, watch, folder = self.run
        made = task.export(trainer.average.module, step, measured.numbers)
        state = {"step": step, "trainer": trainer.state_dict(), "watch": watch.state_dict()}
        folder.expect_there()
        save(folder.checkpoints, step, made.tensors, made.description, state, made.write_beside)
        if step == task.options.steps:
            with write_aside(folder.card) as file:
                file.write(task.card(made.description).encode())

    def _expect_healthy(self, step: int) -> None:
        """InputError once the run has diverged: what is drawn, measured or saved could be
        trained on. So the checkpoints there are stay the ones to resume from.
        """
        task, trainer, watch, _ = self.run
        try:
            trainer.expect_finite()
            with eager(task.options):
                task.expect_trainable(task.model)
                task.expect_trainable(trainer.average.module)
        except InputError as error:
            raise watch.diverged(step, str(error)) from error


@contextmanager
def open_outputs(
    run: Run, done: int, say: Callable[[str], None], first: list[str]
) -> Iterator[Outputs | None]:
    """Outputs of a run after ``done`` steps, None but in the main process; says ``first``."""
    if not run.trainer.world.is_main:
        yield None
        return
    options, folder = run.task.options, run.folder
    trackers = open_trackers(folder.path, done, options.wandb, folder.config, first.append)
    with (
        MetricsLog(folder.metrics, done, trackers=trackers) as log,
        Progress(options.steps, done) as progress,
    ):
        for line in first:
            say(line)
        yield Outputs(run, log, progress)


def eager(options: TrainOptions) -> AbstractContextManager[object]:
    """Keep compiled networks from being compiled again for a batch of another size."""
    return torch.compiler.set_stance("force_eager") if options.compile else nullcontext()
