# SPDX-License-Identifier: Apache-2.0
"""One training step: the model first, then the discriminator."""

from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from scam.models import PreparedLabels, SynthesisModel
from scam.nn.pyramid import labels_in
from scam.nn.spectral import refine_norms
from scam.synthesis.adversary import Adversary
from scam.synthesis.augment import Augmentation, kept_styles, parse_policy
from scam.synthesis.discriminators import DiscriminatorBatch
from scam.synthesis.options import SynthesisOptions
from scam.training.distributed import SINGLE_PROCESS, World
from scam.training.muon import muon
from scam.training.optimisation import Losses, Optimisation, adamw, decay, warm_up
from scam.training.precision import Precision
from scam.training.randomness import PictureGenerators, picture_generators

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class _Part:
    """A part of a step's batch on the device, as the model is given it, and what came of it.

    fake, shown: an image (B, 3, H, W) without gradient, and beside what the discriminator is
    shown it; None where it rests.
    """

    real: Tensor
    prepared: PreparedLabels
    kept: Tensor | None
    generators: PictureGenerators
    fake: Tensor
    shown: DiscriminatorBatch | None


class SynthesisStep:
    """The :class:`~scam.training.task.Learner` of a model that reconstructs images.

    A step depends on the batch, the state and (seed, step) only: no global random state.
    """

    def __init__(
        self,
        model: SynthesisModel,
        discriminator: nn.Module,
        perceptual: nn.Module,
        options: SynthesisOptions,
        precision: Precision,
        device: torch.device,
        world: World = SINGLE_PROCESS,
    ) -> None:
        model = world.synchronise_norms(model, device)
        discriminator = world.synchronise_norms(discriminator, device)
        layout = torch.channels_last if options.channels_last else torch.preserve_format
        self.memory_format = layout
        own = device.type == "cpu" and model.channels_last_on_cpu
        self.model: SynthesisModel = model.to(device).to(
            memory_format=torch.channels_last if own else layout
        )
        self.discriminator = discriminator.to(device).to(memory_format=layout)
        self.perceptual = perceptual.to(device)
        self.options = options
        self.precision = precision
        self.device = device
        self.world = world
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision.scaled)
        self.scalers = {"scaler": self.scaler}
        self.watched = "l1" if options.l1 > 0 else ""
        decay_and_betas = options.weight_decay, options.betas
        self.generation = self._optimisation(
            adamw(self.model, options.lr, *decay_and_betas)
            if options.optimizer == "adamw"
            else muon(self.model, options.lr, options.lr_muon, *decay_and_betas)
        )
        self.discrimination = self._optimisation(
            adamw(self.discriminator, options.lr_discriminator, *decay_and_betas)
        )
        self.optimisations = {"optimizer": self.generation, "optimizer_d": self.discrimination}
        labels = model.config.num_labels
        self.adversary = Adversary(self.discriminator, labels, options, precision, device, world)
        self.others = {
            "discriminator": self.discriminator,
            "adversary": nn.Module() if self.adversary.lecam is None else self.adversary.lecam,
        }
        self.model.configure(
            gradient_checkpointing=options.gradient_checkpointing, compiled=options.compile
        )
        self._perceptual_policy = parse_policy("augment_perceptual", options.augment_perceptual)

    def step(self, batch: tuple[Tensor, Tensor], step: int) -> Losses:
        """Learn from image (B, 3, H, W) and labels (B, H, W); returns detached scalar losses.

        B is this process's share (``World.share``) of the step's images.
        """
        image, labels = batch
        if not self.model.training:  # telling hundreds of modules takes a millisecond
            self.model.train()
        refine_norms(self.model)
        options = self.options
        adversarial = options.gan > 0 and step > options.gan_from
        places = self.world.share(len(image) * self.world.size)
        size = len(image) // options.accumulate
        if adversarial:
            self.adversary.begin(labels, partial(picture_generators, options.seed, step, places))
        self.discriminator.requires_grad_(False)
        parts = []
        for cut in (slice(i, i + size) for i in range(0, len(image), size)):
            generators = partial(picture_generators, options.seed, step, places[cut])
            parts.append(self._generate(image[cut], labels[cut], generators, adversarial))
        left = decay(step, options.steps, options.decay_from)
        losses, norm = self.generation.step(warm_up(step, options.warmup) * left)
        losses["grad_norm"] = norm
        if adversarial:
            self.discriminator.requires_grad_(True)
            for part in parts:
                self._discriminate(part)
            self.adversary.finish()
            rate = warm_up(step - options.gan_from, options.warmup)
            losses |= self.discrimination.step(rate * left)[0]
        self.scaler.update()
        return losses

    def _generate(
        self, real: Tensor, labels: Tensor, generators: PictureGenerators, adversarial: bool
    ) -> _Part:
        """Gradients of the model."""
        options = self.options
        occurring = None
        if not labels.is_cuda:  # asking a GPU would wait for it
            occurring = labels_in(labels, self.model.config.num_labels)
        real, labels = (x.to(self.device, non_blocking=True) for x in (real, labels))
        real = real.contiguous(memory_format=self.memory_format)
        shown = None
        with self.precision.autocast(self.device):
            prepared = self.model.prepare(labels, occurring, values=False)
            noise, kept = generators("noise", self.device), self._kept_labels(generators)
            made = self.model.reconstruct(real, prepared, noise, kept)
            fake = made.image
            terms = {"l1": (options.l1, (fake - real).abs().mean()), **made.losses}
            if options.perceptual != "none" and options.perceptual_weight > 0:
                distance = self._perceptual_distance(fake, real, generators)
                terms["perceptual"] = (options.perceptual_weight, distance)
            if adversarial:
                shown = self.adversary.batch(real, prepared.labels, generators)
                terms |= self.adversary.generator_losses(fake, shown)
        self.generation.backward(terms)
        return _Part(real, prepared, kept, generators, fake.detach(), shown)

    def _discriminate(self, part: _Part) -> None:
        """Gradients of the discriminator."""
        fake, shown = part.fake, cast(DiscriminatorBatch, part.shown)
        if self.options.fresh_fake:
            noise = part.generators("noise of the fresh fake", self.device)
            with torch.no_grad(), self.precision.autocast(self.device):
                fake = self.model.reconstruct(part.real, part.prepared, noise, part.kept).image
        with self.precision.autocast(self.device):
            terms = self.adversary.discriminator_losses(fake, shown)
        self.discrimination.backward(terms, self.options.gan)

    def _kept_labels(self, generators: PictureGenerators) -> Tensor | None:
        """Labels that keep their styles, (B, L); None: all."""
        if not (dropout := self.options.style_dropout):
            return None
        kept = kept_styles(dropout, self.model.config.num_labels, generators("style", _CPU))
        return kept.to(self.device, non_blocking=True)

    def _perceptual_distance(
        self, fake: Tensor, real: Tensor, generators: PictureGenerators
    ) -> Tensor:
        if self._perceptual_policy:
            drawn = Augmentation.draw(self._perceptual_policy, generators("perceptual", _CPU))
            fake, real = drawn.pictures(fake), drawn.pictures(real)
        distance: Tensor = self.perceptual(fake, real)
        return distance

    def _optimisation(self, optimizer: torch.optim.Optimizer) -> Optimisation:
        options = self.options
        return Optimisation(
            optimizer,
            self.precision,
            self.scaler,
            self.world,
            accumulate=options.accumulate,
            max_grad_norm=options.max_grad_norm,
        )
