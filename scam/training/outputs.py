# SPDX-License-Identifier: Apache-2.0
"""What a run leaves while it trains, and when: numbers, sheets, checkpoints, the model card."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch

from scam.checkpoints.step_folders import save
from scam.errors import InputError
from scam.storage.files import write_aside
from scam.training.log import MetricsLog, Progress
from scam.training.options import TrainOptions
from scam.training.run_folder import RunFolder
from scam.training.task import Measured, Task
from scam.training.trackers import open_trackers
from scam.training.trainer import Trainer
from scam.training.watch import SkipWatch


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
        stopping = stopping and not last
        save = last or stopping or step % options.save_every == 0
        return cls(
            log=save or step % options.log_every == 0,
            evaluate=last or (not stopping and step % options.eval_every == 0),
            sample=last or (not stopping and step % options.sample_every == 0),
            save=save,
        )


@dataclass(frozen=True)
class Outputs:
    """Log, progress, sheets and checkpoints of a run, all written by the main process."""

    task: Task
    trainer: Trainer
    watch: SkipWatch
    folder: RunFolder
    log: MetricsLog
    progress: Progress

    def record(self, step: int, losses: Mapping[str, float]) -> None:
        """Log losses and show them."""
        self.log.write(step, losses)
        self.progress.update(step, losses)

    def tell(self, step: int, found: Measured) -> None:
        """Log numbers and say words, if there are any."""
        if found.numbers:
            self.log.write(step, found.numbers)
        if found.words:
            self.progress.say(f"step {step}: {found.words}" if step else found.words)

    def after(self, step: int, due: Due) -> None:
        """Measure, draw and save whatever is due after ``step``, with the averaged weights."""
        self.folder.expect_there()
        self._expect_healthy(step)
        average, measured = self.trainer.average.module, Measured()
        if due.evaluate:
            measured = self.task.measure(average)
            self.tell(step, measured)
        if due.sample:
            self.folder.expect_there()  # measuring took its time
            self.task.sheet(average, self.folder.sample(step))
        if not due.save:
            return
        export = self.task.export(average, step, measured.numbers)
        trainer, watch = self.trainer.state_dict(), self.watch.state_dict()
        state = {"step": step, "trainer": trainer, "watch": watch}
        self.folder.expect_there()
        save(
            self.folder.checkpoints, step, export.tensors, export.description, state,
            export.write_beside,
        )  # fmt: skip
        if step == self.task.options.steps:
            with write_aside(self.folder.card) as file:
                file.write(self.task.card(export.description).encode())

    def _expect_healthy(self, step: int) -> None:
        """InputError once the run has diverged: what is drawn, measured or saved could be
        trained on. So the checkpoints there are stay the ones to resume from.
        """
        try:
            self.trainer.expect_finite()
            with eager(self.task.options):
                self.task.expect_trainable(self.task.model)
                self.task.expect_trainable(self.trainer.average.module)
        except InputError as error:
            raise self.watch.diverged(step, str(error)) from error


@contextmanager
def open_outputs(
    task: Task,
    trainer: Trainer,
    watch: SkipWatch,
    folder: RunFolder,
    done: int,
    say: Callable[[str], None],
    first: list[str],
) -> Iterator[Outputs | None]:
    """Outputs of a run after ``done`` steps, None but in the main process; says ``first``."""
    if not trainer.world.is_main:
        yield None
        return
    trackers = open_trackers(folder.path, done, task.options.wandb, folder.config, first.append)
    with (
        MetricsLog(folder.metrics, done, trackers=trackers) as log,
        Progress(task.options.steps, done) as progress,
    ):
        for line in first:
            say(line)
        yield Outputs(task, trainer, watch, folder, log, progress)


def eager(options: TrainOptions) -> AbstractContextManager[object]:
    """Keep compiled networks from being compiled again for a batch of another size."""
    return torch.compiler.set_stance("force_eager") if options.compile else nullcontext()
