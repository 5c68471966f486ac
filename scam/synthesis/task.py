# SPDX-License-Identifier: Apache-2.0
"""The task: reconstruct images from their own styles under their own label maps."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from scam.data import batches
from scam.data.dataset import in_order
from scam.data.split import write_split
from scam.errors import InputError, counted
from scam.models import SynthesisModel
from scam.models.card import model_card
from scam.models.checkpoint import describe
from scam.models.registry import build
from scam.synthesis import notes
from scam.synthesis.discriminators import build_discriminator
from scam.synthesis.facts import training_facts
from scam.synthesis.job import Job, expect_room
from scam.synthesis.perceptual import build_perceptual
from scam.synthesis.previews import (
    REFINE_STEPS,
    colour_floors,
    draw_sheet,
    learn_colours,
    mean_styles,
    reconstruction_psnr,
)
from scam.synthesis.step import SynthesisStep
from scam.training import engine
from scam.training.compiling import compiler_failures_named
from scam.training.log import read_metrics
from scam.training.optimisation import tried
from scam.training.precision import resolve_precision
from scam.training.task import Export, Measured


def run_job(
    job: Job, *, resume: bool = False, say: Callable[[str], None] = print, heading: str = ""
) -> Path:
    """Build the task of ``job`` and run it: see :func:`scam.training.engine.train`. InputError,
    too, where networks or batch are larger than the device's memory.
    """
    with job.world.agreed():
        expect_room(job)
    task = SynthesisTask(job)
    sheet = engine.train(task, job.folder, job.world, resume=resume, say=say, heading=heading)
    if job.world.is_main:
        for line in notes.at_end(read_metrics(job.folder.metrics)):
            say(line)
    return sheet


class SynthesisTask(SynthesisStep):
    """The :class:`~scam.training.task.Task` of ``job``, its networks freshly initialised."""

    def __init__(self, job: Job) -> None:
        self.job = job
        options, config = job.options, job.config
        torch.manual_seed(options.seed)
        torch.backends.cudnn.benchmark = True  # convolutions meet the same shapes in every step
        precision = resolve_precision(options.amp, job.device)
        model = build(config).configure(fused=options.fused_sca)
        discriminator = build_discriminator(config, options)
        # Last: equal seeds give equal weights, whatever the perceptual loss draws.
        perceptual: nn.Module = nn.Identity()
        if options.perceptual != "none":
            perceptual = build_perceptual(
                options.perceptual,
                options.perceptual_weights,
                # SCAM's published system, too, leaves them in [-1, 1].
                normalise=options.vgg_normalise and not config.released,
                slices=options.vgg_slices,
            )
        with compiler_failures_named(options.compile):
            super().__init__(
                model, discriminator, perceptual, options, precision, job.device, job.world
            )

    def batches(self, done: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels: see :class:`~scam.training.task.Task`."""
        options = self.options
        per_step = options.batch_size * options.accumulate
        for batch in batches(
            self.job.train,
            per_step,
            seed=options.seed,
            start_step=done,
            recolour_steps=round((1 + options.decay_from) / 2 * options.steps),
            workers=options.workers,
            places=self.world.share(per_step),
            pin=self.device.type == "cuda",
        ):
            yield batch["image"], batch["labels"]

    def begin(self) -> Measured:
        """What flat colours reach, and which labels there is nothing to learn of."""
        colours = learn_colours(self.job.train)
        floors = colour_floors(colours, self.job.held_out)
        return Measured(
            floors,
            "".join(f"{line}\n" for line in notes.of_labels(self.job.train, colours))
            + f"flat colours on the {counted(len(self.job.held_out), 'held-out image')}: "
            f"{floors['psnr_mean_colours']:.2f} dB with each label's mean over the training "
            f"images, {floors['psnr_own_colours']:.2f} dB with its mean in each image",
        )

    def measure(self, network: SynthesisModel) -> Measured:
        """PSNR on held-out images."""
        psnr = reconstruction_psnr(network, self.job.held_out, self.options.batch_size)
        return Measured(
            {"psnr": psnr.pooled, "psnr_per_image": psnr.per_image},
            f"held-out PSNR {psnr.pooled:.2f} dB pooled, {psnr.per_image:.2f} dB per image",
        )

    def sheet(self, network: SynthesisModel, step: int, path: Path) -> None:
        """Reconstructions and transfers of held-out images; at the end from refined latents, too,
        by a fifth of the run's steps at most.
        """
        options = self.options
        draw_sheet(
            network,
            self.job.held_out,
            path,
            options.sample_scale,
            refine=min(REFINE_STEPS, step // 5) if step == options.steps else 0,
            batch_size=max(1, options.batch_size // self.world.size),
        )

    def export(self, network: SynthesisModel, step: int, measured: Mapping[str, float]) -> Export:
        """Weights with the mean styles of training images, and who they were."""
        job = self.job
        mean = mean_styles(network, job.train, self.options.batch_size)
        means = {"mean_tokens": mean.tokens[0], "mean_known": mean.present[0]}
        tensors = network.state_dict() | means
        facts = training_facts(job, step) | {f"held-out {x}": measured[x] for x in measured}
        description = {**describe(job.config, job.train.source), "trained": facts}
        beside = None if job.split is None else partial(write_split, split=job.split)
        return Export(tensors, description, beside)

    def card(self, description: Mapping[str, object]) -> str:
        """See :mod:`scam.models.card`."""
        return model_card(self.job.config, description)

    def expect_trainable(self, network: SynthesisModel) -> None:
        """InputError unless a training image goes through and back in finite numbers: weights
        can be finite and too large for any step to follow.
        """
        image, labels = (x.to(self.device) for x in next(in_order(self.job.train, 1, [0])))
        loss, norm = tried(network, lambda: (network(image, labels) - image).abs().mean())
        for value, what in ((loss, "difference"), (norm, "gradient")):
            # Without any gradient every pixel is as black or white as can be.
            if not 0 < float(value) < math.inf:
                raise InputError(f"a training image's {what} is {value.item()}")
