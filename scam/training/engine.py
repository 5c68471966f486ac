# SPDX-License-Identifier: Apache-2.0
"""The training loop of any task: begin or resume, step, log, measure, save."""

import shlex
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from scam.checkpoints.step_folders import newest_step_folder, offering_older
from scam.checkpoints.training_state import TRAINING, load_training
from scam.errors import InputError, Interrupted, Stopped, within
from scam.training.compiling import compiler_failures_named
from scam.training.contention import Contention
from scam.training.distributed import SINGLE_PROCESS, World
from scam.training.divergence import LIMIT, SCALED_LIMIT, Watch
from scam.training.optimisation import Losses
from scam.training.outputs import Due, Outputs, Run, eager, open_outputs
from scam.training.run_folder import RunFolder
from scam.training.signals import stop_signals
from scam.training.state import integer, part
from scam.training.task import Task
from scam.training.trainer import Trainer


def train(
    task: Task,
    folder: RunFolder,
    world: World = SINGLE_PROCESS,
    *,
    resume: bool = False,
    say: Callable[[str], None] = print,
    heading: str = "",
) -> Path:
    """Run ``task`` to its last step, from the newest checkpoint if there is one and ``resume``.

    ``heading`` is said first, once everything has been checked. Returns the path of the last
    sheet. On the CPU a resumed run ends with the bits of one that never stopped.

    Raises InputError when a checkpoint cannot be read or written, or when several steps in a row
    have gradients that are not finite; Stopped, with everything saved, after SIGTERM, and
    Interrupted after Ctrl-C. A process that ends because of another raises PeerExited.
    """
    options = task.options
    with world.agreed():
        if options.batch_size % world.size:
            wanted = f"a multiple of the {world.size} processes, which share it"
            raise InputError(f"{{batch_size}}: expected {wanted}", batch_size=options.batch_size)
    watch = Watch(folder, SCALED_LIMIT if task.precision.scaled else LIMIT)
    run = Run(task, Trainer(task, world), watch, folder)
    done = _resumed(run) if resume else 0
    with world.agreed():
        if done > options.steps:
            message = f"{{steps}}: this run has already done {done} steps, expected more"
            raise InputError(message, steps=options.steps)
        if done == options.steps:
            raise InputError(f"this run has already done {done} steps: give a larger {{:steps}}")
    if resume and world.is_main:  # a new run's settings are written when its folder is
        folder.store()
    said = [heading] if heading else []
    if done:
        said.append(f"resumed after step {done} of {options.steps}")
    if options.amp:
        said.append(f"precision: {task.precision.reason}")
    # Reads images: whatever is wrong with one is the first thing said.
    begun = task.begin() if done == 0 and world.is_main else None
    with open_outputs(run, done, say, said) as outputs, stop_signals() as stop:
        if begun is not None and outputs:
            outputs.tell(0, begun)
        _steps(run, outputs, done, stop)
    return folder.sample(options.steps)


def _steps(run: Run, outputs: Outputs | None, done: int, stop: list[int]) -> None:
    """All steps after ``done``, and what is due after each; ``stop``: signals that came."""
    task, trainer, watch, folder = run
    options, world = task.options, trainer.world
    stream = task.batches(done)
    contention = Contention(next(task.model.parameters()).device)
    recent: list[Losses] = []
    for step in range(done + 1, options.steps + 1):
        batch = next(stream)
        with compiler_failures_named(options.compile):
            recent.append(trainer.step(batch, step))
        asked = world.any(bool(stop))
        due = Due.at(step, options, stopping=asked)
        if due.log:
            with world.agreed():
                world.from_main(folder.expect_there)
            losses, skipped = _means(recent)
            recent.clear()
            why = watch.add(skipped, losses.get(task.watched))
            if outputs:
                losses |= {"skipped": float(watch.total)} if watch.total else {}
                outputs.log.write(step, losses)
                outputs.progress.update(step, losses)
                if (line := contention.note()) is not None:
                    outputs.progress.say(line)
            with world.agreed():
                if why is not None:
                    raise watch.diverged(step, why)
        if due.save:
            with world.agreed():
                world.check_equal(task.model.parameters())
        if outputs and (due.evaluate or due.sample or due.save):
            outputs.after(step, due)
        if asked and step < options.steps:
            terminated = world.any(signal.SIGTERM in stop)
            name, kind = ("SIGTERM", Stopped) if terminated else ("Ctrl-C", Interrupted)
            said = f"stopped by {name} after step {step}, saved in {folder.path}"
            with world.agreed():
                raise kind(f"{said}; resume with {{resume}} {{out}}", resume=True, out=folder.path)


def _means(recent: Sequence[Losses]) -> tuple[dict[str, float], list[float]]:
    """Each loss over the steps that had it and counted; which steps were skipped."""
    names = [x for x in dict.fromkeys(x for losses in recent for x in losses) if x != "skipped"]
    means = [torch.stack([x[name] for x in recent if name in x]).nanmean() for name in names]
    skipped = [losses["skipped"] for losses in recent]
    values = torch.stack([*means, *skipped]).tolist()  # one transfer off the device
    return dict(zip(names, values, strict=False)), values[len(names) :]


def _resumed(run: Run) -> int:
    """Resume from the newest checkpoint, which the main process alone has; its step, or 0."""
    task, trainer, watch, folder = run
    world = trainer.world
    newest = world.from_main(lambda: newest_step_folder(folder.checkpoints))
    if newest is None:
        return 0

    def resume(step_folder: Path) -> dict[str, Any]:
        state = load_training(step_folder)
        restore(state, step_folder, trainer, watch)
        with within(f"{step_folder / TRAINING}: cannot be trained on"), eager(task.options):
            task.expect_trainable(task.model)
        return state

    def checked() -> dict[str, Any]:
        remove = f"remove that step (rm -r {shlex.quote(str(newest))})"
        with offering_older(newest, resume, lambda older: f"{remove} to resume from {older.name}"):
            return resume(newest)

    state = world.from_main(checked)
    if not world.is_main:
        restore(state, newest, trainer, watch)
    return int(state["step"])


def restore(state: dict[str, Any], step_folder: Path, trainer: Trainer, watch: Watch) -> None:
    """Load what :func:`~scam.checkpoints.training_state.load_training` read.

    InputError, and nothing is changed, if it is not finite, or not the state of these networks
    and optimisers at this folder's step.
    """
    with within(step_folder / TRAINING):
        step = integer(state, "step")
        if step != int(step_folder.name.removeprefix("step_")):
            raise InputError(f"step is {step}, expected that of {step_folder.name}")
        parts, counts = part(state, "trainer"), part(state, "watch")
        trainer.expect_state(parts, step)
        watch.load_state_dict(counts, step)
    trainer.load_state_dict(parts)
