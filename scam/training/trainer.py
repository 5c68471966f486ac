# SPDX-License-Identifier: Apache-2.0
"""Networks, optimisers and averaged weights as one thing that steps, is stored and resumed."""

from collections.abc import Mapping
from typing import Any

import torch

from scam.checkpoints.weights import expect_finite, expect_tensors
from scam.training.averaging import Average
from scam.training.distributed import SINGLE_PROCESS, World
from scam.training.optimisation import Losses
from scam.training.state import expect_optimizer, expect_scaler, integer, part, unmoved
from scam.training.task import Learner


class Trainer:
    """Advances ``learner`` and the average of its model; each process with its share of a batch,
    and all with the same weights.
    """

    def __init__(self, learner: Learner, world: World = SINGLE_PROCESS) -> None:
        self.learner = learner
        self.world = world
        self.average = Average(learner.model, learner.options.ema)
        self._networks = {"model": learner.model, **learner.others}

    def step(self, batch: Any, step: int) -> Losses:
        """One step; detached scalars by name, means over all processes.

        Where a loss or a gradient is not finite the weights stay as they are and ``skipped`` is
        1. Under float16 some gradients are, until the gradient scaler has found its scale.
        """
        losses = dict(self.learner.step(batch, step))
        optimisations = self.learner.optimisations.values()
        skipped = [flag for each in optimisations for flag in each.take_skipped()]
        losses["skipped"] = torch.stack(skipped).amax()
        self.average.update()
        means = self.world.mean(torch.stack([x.float() for x in losses.values()]))
        return dict(zip(losses, means, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs to resume as if never stopped."""
        learner = self.learner
        return {
            **{name: network.state_dict() for name, network in self._networks.items()},
            **{name: x.optimizer.state_dict() for name, x in learner.optimisations.items()},
            **{name: scaler.state_dict() for name, scaler in learner.scalers.items()},
            "ema": self.average.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        for name, network in self._networks.items():
            network.load_state_dict(state.get(name, {}))
        for name, optimisation in self.learner.optimisations.items():
            optimisation.optimizer.load_state_dict(state[name])
            _lay_out_as_weights(optimisation.optimizer)
        for name, scaler in self.learner.scalers.items():
            if state[name]:  # empty where the run was not scaled before
                scaler.load_state_dict(state[name])
        self.average.load_state_dict(state["ema"])

    def expect_state(self, state: Mapping[str, Any], step: int) -> None:
        """InputError unless ``state`` could be loaded after ``step`` steps."""
        for name, network in self._networks.items():
            own = network.state_dict()
            # Earlier versions stored no networks without tensors.
            found = part(state, name) if own or name in state else {}
            expect_tensors(found, own, name)
        average = part(state, "ema")
        expect_tensors(average.get("tensors"), self.average.module.state_dict(), "ema")
        integer(average, "t")
        may_lack = unmoved(state, self._networks, average["tensors"])
        for name, optimisation in self.learner.optimisations.items():
            expect_optimizer(state, name, optimisation, step, may_lack)
        for name in self.learner.scalers:
            expect_scaler(state, name)

    def expect_finite(self) -> None:
        """InputError if a weight, an average or a moment is not finite."""
        parts = {name: network.state_dict() for name, network in self._networks.items()}
        parts["ema"] = self.average.module.state_dict()
        for name, optimisation in self.learner.optimisations.items():
            moments = optimisation.optimizer.state_dict()["state"].items()
            parts[name] = {
                f"{key} of parameter {i}": x for i, each in moments for key, x in each.items()
            }
        for name, tensors in parts.items():
            for key, tensor in tensors.items():
                expect_finite(tensor, f"{name}: {key}")


def _lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Moments with the strides of their weights: fused optimisers go through memory in order."""
    for weight, moments in optimizer.state.items():
        for name, moment in moments.items():
            if isinstance(moment, torch.Tensor) and moment.shape == weight.shape:
                moments[name] = torch.empty_like(weight, dtype=moment.dtype).copy_(moment)
