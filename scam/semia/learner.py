# SPDX-License-Identifier: Apache-2.0
"""One training step of a generator of one image, its discriminator and its segmenter."""

import torch
from torch import Tensor, nn

from scam.models.discriminators.spectral import SpectralDiscriminator
from scam.nn.spectral import refine_norms
from scam.semia.coherence import PatchCoherence
from scam.semia.generator import Generated, Generator, GeneratorConfig
from scam.semia.options import SemiaOptions
from scam.semia.pairs import Pair
from scam.semia.segmenter import Segmenter, segmentation_loss
from scam.synthesis import losses
from scam.training.optimisation import Losses, Optimisation, Terms, adamw, decay, warm_up
from scam.training.precision import Precision, resolve_precision

_STRIDES = (2, 2, 1)
"""Of the discriminator's layers: a score sees patches of 34 pixels, and of 68 at half size."""
_BETAS = (0.5, 0.99)


class SemiaLearner:
    """The :class:`~scam.training.task.Learner` of one image.

    A step depends on its pair, the state and the seed alone.
    """

    def __init__(
        self,
        image: Tensor,
        labels: Tensor,
        config: GeneratorConfig,
        options: SemiaOptions,
    ) -> None:
        self.options = options
        self.device = image.device
        self.precision: Precision = resolve_precision(options.amp, self.device)
        torch.manual_seed(options.seed)
        self.model: Generator = Generator(config).to(self.device)
        self.discriminator = SpectralDiscriminator(
            config.num_labels, options.discriminator_width, _STRIDES
        ).to(self.device)
        self.segmenter = Segmenter(config.num_labels, config.width).to(self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.scaled)
        self.scalers = {"scaler": self.scaler}
        self.watched = ""  # the result of most pairs is not known
        self.others: dict[str, nn.Module] = {
            "discriminator": self.discriminator,
            "segmenter": self.segmenter,
        }
        self.generation, self.discrimination, self.segmentation = (
            Optimisation(
                adamw(network, options.lr, options.weight_decay, _BETAS),
                self.precision,
                self.scaler,
                max_grad_norm=options.max_grad_norm,
            )
            for network in (self.model, self.discriminator, self.segmenter)
        )
        self.optimisations = {
            "optimizer": self.generation,
            "optimizer_d": self.discrimination,
            "optimizer_s": self.segmentation,
        }
        self.coherence = PatchCoherence(image, labels, config.num_labels, by_label=config.by_label)

    def step(self, batch: Pair, step: int) -> Losses:
        """Learn from a pair; returns detached scalar losses."""
        options = self.options
        self.model.train()
        for network in (self.discriminator, self.segmenter):
            network.train().requires_grad_(False)
        refine_norms(self.discriminator)
        left = warm_up(step, options.warmup) * decay(step, options.steps, options.decay_from)
        with self.precision.autocast(self.device):
            made = self.model(batch.image, batch.labels, batch.target, batch.start)
            terms = self._terms(batch, made, step)
        self.generation.backward(terms)
        found, norm = self.generation.step(left)
        found["grad_norm"] = norm
        if options.gan > 0 or options.feature_matching > 0:
            self.discriminator.requires_grad_(True)
            with self.precision.autocast(self.device):
                self.discrimination.backward(
                    {"discriminator": (1.0, self._scored(batch, made.image.detach()))}
                )
            found |= self.discrimination.step(left)[0]
        if options.align > 0:
            self.segmenter.requires_grad_(True)
            image, labels = _real(batch)
            with self.precision.autocast(self.device):
                loss = segmentation_loss(self.segmenter(image).float(), labels)
            self.segmentation.backward({"segmenter": (1.0, loss)})
            found |= self.segmentation.step(left)[0]
        self.scaler.update()
        return found

    def _terms(self, pair: Pair, made: Generated, step: int) -> Terms:
        """Losses of the generator, by name, each with its weight."""
        options, image = self.options, made.image
        terms: dict[str, tuple[float, Tensor]] = {}
        if options.gan > 0 or options.feature_matching > 0:
            maps = self.discriminator.label_maps(pair.target)
            fake = self.discriminator.features(image, maps)
            terms["gan"] = (options.gan, losses.hinge_generator([x[-1] for x in fake]))
            if pair.truth is not None and options.feature_matching > 0:
                with torch.no_grad():
                    real = self.discriminator.features(pair.truth, maps)
                matched = losses.feature_matching(real, fake)
                terms["feature_matching"] = (options.feature_matching, matched)
        if options.coherence > 0 and not pair.unchanged:
            generator = torch.Generator().manual_seed(options.seed * 1_299_709 + step)
            distance = self.coherence(image.float(), pair.target, generator)
            terms["coherence"] = (options.coherence, distance)
        if options.align > 0:
            seen = segmentation_loss(self.segmenter(image).float(), pair.target)
            terms["align"] = (options.align, seen)
        if pair.unchanged:
            terms["l1"] = (options.l1, (image - pair.image).abs().mean())
            moved = [(x - 1).abs().mean() for x in made.scales]
            moved += [x.abs().mean() for x in made.shifts]
            terms["fixed_point"] = (options.fixed_point, torch.stack(moved).sum())
        return terms

    def _scored(self, pair: Pair, fake: Tensor) -> Tensor:
        """The discriminator's loss: real, generated, and real under a label map of another."""
        image, labels = _real(pair)
        score = self.discriminator
        on_real = score(image, score.label_maps(labels))
        on_fake = score(fake, score.label_maps(pair.target))
        loss = losses.hinge_discriminator(on_real, on_fake)
        if pair.truth is not None and not pair.unchanged:
            mismatched = score(image, score.label_maps(pair.labels))
            loss = loss + torch.stack([(1 + x).relu().mean() for x in mismatched]).mean() / 2
        return loss


def _real(pair: Pair) -> tuple[Tensor, Tensor]:
    """A real image and its label map."""
    if pair.truth is None:
        return pair.image, pair.labels
    return pair.truth, pair.target
