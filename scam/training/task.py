# SPDX-License-Identifier: Apache-2.0
"""What the engine asks of whatever it trains.

A task owns its networks, its data and its losses; :func:`scam.training.engine.train` does the
rest: run folder, log, averaged weights, checkpoints, resuming, several processes.

To write one, set the attributes of a :class:`Learner` and write its ``step``, then the methods of
:class:`Task`. A task whose steps depend on (batch, step, seed) alone resumes to the bit: draw
random numbers with :func:`scam.training.randomness.picture_generators`, or from a
``torch.Generator`` seeded by seed and step, never from torch's global stream.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scam.training.optimisation import Losses, Optimisation
from scam.training.options import TrainOptions
from scam.training.precision import Precision


@dataclass(frozen=True)
class Measured:
    """Numbers of a step by name, for the log, and what to say of them, if anything."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    words: str = ""


@dataclass(frozen=True)
class Export:
    """What a step folder holds for those who use the model.

    tensors: the weights, of any device and layout. description: what builds the networks, as JSON
    can hold it. write_beside: writes further files into the folder that it is given.
    """

    tensors: Mapping[str, Tensor]
    description: Mapping[str, Any]
    write_beside: Callable[[Path], None] | None = None


class Learner(Protocol):
    """Networks and their optimisers, advanced one step at a time; attributes will do."""

    @property
    def options(self) -> TrainOptions:
        """Of the run."""

    @property
    def precision(self) -> Precision:
        """Of the forward passes."""

    @property
    def model(self) -> nn.Module:
        """The network that is averaged over the steps, measured, drawn and saved.

        Several in one ``nn.ModuleDict``; on its device already.
        """

    @property
    def others(self) -> Mapping[str, nn.Module]:
        """Networks whose parameters and buffers a resumed run needs too, as a discriminator.

        By the names that ``training.pt`` has for them, as for the next two; not "model" or "ema".
        """

    @property
    def optimisations(self) -> Mapping[str, Optimisation]:
        """All that ``step`` steps, now and then or always."""

    @property
    def scalers(self) -> Mapping[str, torch.amp.GradScaler]:
        """The gradient scalers of the optimisations; ``step`` updates them."""

    @property
    def watched(self) -> str:
        """The name of the loss that does not rise far in a healthy run; "": there is none."""

    def step(self, batch: Any, step: int) -> Losses:
        """Learn from ``batch``; ``step`` counts from 1. Returns losses, detached scalars by name.

        The names may change from step to step. With several processes each is handed its share of
        the batch; the engine averages the losses, the optimisations the gradients.
        """


class Task(Learner, Protocol):
    """A learner with its data, and what is looked at between steps.

    All but ``batches`` run in the main process alone. ``network`` is the model, or the copy of it
    that holds the averaged weights, in evaluation mode.
    """

    def batches(self, done: int) -> Iterator[Any]:
        """Batches without end for the steps after ``done``, this process's share of each."""

    def begin(self) -> Measured:
        """What can be said before the first step of a new run."""

    def measure(self, network: Any) -> Measured:
        """Numbers of ``network`` on what it was not trained on, if there is any."""

    def sheet(self, network: Any, step: int, path: Path) -> None:
        """Draw what ``network`` does after ``step`` into the file ``path``; may leave it out."""

    def export(self, network: Any, step: int, measured: Mapping[str, float]) -> Export:
        """What is saved of ``network``; measured: numbers of this step, where it was measured."""

    def card(self, description: Mapping[str, Any]) -> str:
        """The model card, Markdown, of an :class:`Export` with that description."""

    def expect_trainable(self, network: Any) -> None:
        """InputError if no step could follow from ``network``, whose tensors are finite; leaves
        no gradients.
        """
