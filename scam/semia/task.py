# SPDX-License-Identifier: Apache-2.0
"""The task of the training engine: learn to generate one image under other label maps."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scam.data.sheet import save_sheet
from scam.errors import InputError
from scam.metrics import Psnr
from scam.semia.generator import Generator, GeneratorConfig
from scam.semia.learner import SemiaLearner
from scam.semia.options import SemiaOptions
from scam.semia.pairs import Pair, Pairs
from scam.semia.patches import PatchOptions
from scam.training.optimisation import tried
from scam.training.task import Export, Measured

PREVIEWS = 4
"""Rows of a sheet."""
_OF_A_COPY = 99.0  # dB: equal 8-bit images have no more


class SemiaTask(SemiaLearner):
    """The :class:`~scam.training.task.Task` of one image.

    Args:
        image: (3, H, W) in [-1, 1], on the device to train on.
        labels: (H, W) int64, 0 to K - 1.
        config: of the generator.
        options: of the training.
        patches: how collages are made.
        previews: label maps (H, W) for the sheets; drawn edits fill up what is missing.
    """

    def __init__(
        self,
        image: Tensor,
        labels: Tensor,
        config: GeneratorConfig,
        options: SemiaOptions,
        patches: PatchOptions,
        previews: Sequence[Tensor] = (),
    ) -> None:
        super().__init__(image[None], labels[None], config, options)
        self.pairs = Pairs(
            image[None],
            labels[None],
            config.num_labels,
            options.pairs,
            options.seed,
            patches if config.start else None,
            by_label=config.by_label,
        )
        self._targets = [x[None].to(image.device) for x in previews]
        self._previews: list[Pair] = []

    def batches(self, done: int) -> Iterator[Pair]:
        """Pairs without end."""
        step = done
        while True:
            step += 1
            yield self.pairs.at(step, self.options.steps)

    def begin(self) -> Measured:
        """Nothing can be said."""
        return Measured()

    def measure(self, network: Generator) -> Measured:
        """PSNR under the unchanged label map."""
        pair, psnr = self.pairs.itself, Psnr()
        psnr.update(generate(network, pair), pair.image)
        reached = min(psnr.pooled, _OF_A_COPY)
        text = f"PSNR under the unchanged label map {reached:.2f} dB"
        if pair.start is not None:
            text += f" (training starts from a copy, which has {_OF_A_COPY:.0f})"
        return Measured({"psnr": reached}, text)

    def sheet(self, network: Generator, step: int, path: Path) -> None:
        """Source, label maps, collage and result, a row for each preview."""
        pairs = self._previewed()
        columns = {
            "source": torch.cat([pair.image for pair in pairs]),
            "labels": torch.cat([pair.labels for pair in pairs]),
            "target": torch.cat([pair.target for pair in pairs]),
        }
        if all(pair.start is not None for pair in pairs):
            columns["patches"] = torch.stack([pair.start.image for pair in pairs if pair.start])
        columns["result"] = torch.cat([generate(network, pair) for pair in pairs])
        save_sheet(path, columns, scale=self.options.sample_scale)

    def _previewed(self) -> list[Pair]:
        """The pairs of the sheets, whose collages are made once."""
        if not self._previews:
            self._previews = [self.pairs.for_target(x) for x in self._targets[:PREVIEWS]]
            missing = range(PREVIEWS - len(self._previews))
            self._previews += [self.pairs.edited(number) for number in missing]
        return self._previews

    def export(self, network: Generator, step: int, measured: Mapping[str, float]) -> Export:
        """The weights; what else is needed is in the run folder."""
        facts = {"steps": step, **measured}
        return Export(
            network.state_dict(), {"network": network.config.as_dict(), "trained": facts}
        )

    def card(self, description: Mapping[str, Any]) -> str:
        """What the run folder is, and how it is used."""
        trained = ", ".join(f"{name} {value:g}" for name, value in description["trained"].items())
        return (
            "# One image, generated under other label maps\n\n"
            f"Trained by `python -m scam.semia train`: {trained}.\n\n"
            "    python -m scam.semia apply DIR labels.png --out edited\n"
        )

    def expect_trainable(self, network: Generator) -> None:
        """InputError unless the source goes through and back in finite numbers."""
        pair = self.pairs.itself

        def brightness() -> Tensor:
            made: Tensor = network(pair.image, pair.labels, pair.target, pair.start).image
            return made.square().mean()

        for value, what in zip(tried(network, brightness), ("result", "gradient"), strict=True):
            if not math.isfinite(float(value)):
                raise InputError(f"the source's {what} is {value.item()}")


@torch.no_grad()
def generate(network: Generator, pair: Pair) -> Tensor:
    """The result for a pair, (1, 3, H, W)."""
    network.eval()
    made: Tensor = network(pair.image, pair.labels, pair.target, pair.start).image
    return made
