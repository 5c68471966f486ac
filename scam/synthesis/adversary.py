# SPDX-License-Identifier: Apache-2.0
"""Adversarial losses of generator and discriminator."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from scam.models import Discriminator, SpectralDiscriminator
from scam.nn.spectral import refine_norms
from scam.synthesis import losses
from scam.synthesis.augment import Augmentation, parse_policy
from scam.synthesis.discriminators import DiscriminatorBatch
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.regularise import SIGMA, LeCam, approximated_penalty, mean_logits
from scam.training.distributed import SINGLE_PROCESS, World
from scam.training.precision import Precision
from scam.training.randomness import PictureGenerators

_CPU = torch.device("cpu")


class Adversary:
    """Losses of both sides for the options of a run. A step is :meth:`begin`, for every part of
    its batch :meth:`batch`, :meth:`generator_losses` and :meth:`discriminator_losses`, then
    :meth:`finish`. lecam: what it keeps from step to step.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        num_labels: int,
        options: SynthesisOptions,
        precision: Precision,
        device: torch.device,
        world: World = SINGLE_PROCESS,
    ) -> None:
        self.discriminator = discriminator
        self.num_labels = num_labels
        self.options = options
        self.device = device
        self.world = world
        self.policy = parse_policy("diffaugment", options.diffaugment)
        self.segments = options.discriminator == "oasis"
        self.lecam = LeCam(scales=2).to(device) if options.lecam else None
        # Gradients inside are of unscaled logits, which float16 would flush to zero; differences
        # over SIGMA drown in bfloat16's rounding.
        self._full_precision = precision.scaled or options.r1 > 0 or options.r2 > 0
        self._balance = torch.empty(0)
        self._means: list[Tensor] = []

    def begin(self, labels: Tensor, generators: PictureGenerators) -> None:
        """Weigh the labels of a whole step, as they will be shown; refine spectral norms.

        labels (B, H, W) and generators: of all images of this process.
        """
        refine_norms(self.discriminator)
        if self.segments:
            if self.policy:
                augmentation = Augmentation.draw(self.policy, generators("diffaugment", _CPU))
                labels = augmentation.labels(labels)
            counts = self.world.mean(losses.count_labels(labels, self.num_labels))
            balance = losses.class_balance(counts, labels.numel())
            self._balance = balance.to(self.device, non_blocking=True)

    def batch(
        self, real: Tensor, labels: Tensor, generators: PictureGenerators
    ) -> DiscriminatorBatch:
        """Show real (B, 3, H, W) with labels (B, H, W)."""
        label_maps = cast(Discriminator, self.discriminator).label_maps
        if not self.policy:
            return DiscriminatorBatch(real, label_maps(labels), None, generators)
        augmentation = Augmentation.draw(self.policy, generators("diffaugment", _CPU))
        if self.policy != ("color",):
            labels = augmentation.labels(labels)
        maps = label_maps(labels)
        return DiscriminatorBatch(augmentation.pictures(real), maps, augmentation, generators)

    def generator_losses(
        self, fake: Tensor, batch: DiscriminatorBatch
    ) -> dict[str, tuple[float, Tensor]]:
        """Name to (weight, value) of each loss of the generator; fake (B, 3, H, W)."""
        options = self.options
        fake = batch.augment(fake)
        if not options.feature_matching:
            return {"gan": (options.gan, self._generator_loss(fake, batch))}
        on_real, on_fake = self._features(fake, batch)
        matching = losses.feature_matching(on_real, on_fake, options.feature_matching_maps)
        return {
            "gan": (options.gan, losses.hinge_generator([maps[-1] for maps in on_fake])),
            "feature_matching": (options.feature_matching, matching),
        }

    def discriminator_losses(
        self, fake: Tensor, batch: DiscriminatorBatch
    ) -> dict[str, tuple[float, Tensor]]:
        """Name to (weight, value) of each loss of the discriminator; fake (B, 3, H, W)."""
        options = self.options
        fake = batch.augment(fake)
        if isinstance(self.discriminator, SpectralDiscriminator):
            on_real, on_fake = (
                [maps[-1] for maps in features] for features in self._features(fake, batch)
            )
        else:
            on_real, on_fake = (self._discriminate(x, batch.maps) for x in (batch.real, fake))
        terms = {"discriminator": (1.0, self._adversarial_loss(on_real, on_fake, batch))}
        if options.labelmix:
            mixed = self._labelmix(on_real[0], on_fake[0], fake, batch)
            terms["labelmix"] = (options.labelmix, mixed)
        if self.lecam is not None:
            terms["lecam"] = (options.lecam, self.lecam(on_real, on_fake))
            self._means.append(mean_logits(on_real, on_fake))
        for name, weight, picture, logits in (
            ("r1", options.r1, batch.real, on_real),
            ("r2", options.r2, fake, on_fake),
        ):
            if weight:
                noise = _noise(picture, name, batch)
                nudged = self._discriminate(picture + SIGMA * noise, batch.maps)
                terms[name] = (weight / 2, approximated_penalty(logits, nudged))
        return terms

    def finish(self) -> None:
        """Take the step's logits into LeCam's averages."""
        if self.lecam is not None:
            self.lecam.update(self.world.mean(torch.stack(self._means).mean(0)))
            self._means.clear()

    def _generator_loss(self, fake: Tensor, batch: DiscriminatorBatch) -> Tensor:
        on_fake = self._discriminate(fake, batch.maps)
        if self.segments:
            return losses.oasis_generator(on_fake[0], batch.maps[0], self._balance)
        if self.options.gan_loss == "relativistic":
            on_real = [logits.detach() for logits in self._discriminate(batch.real, batch.maps)]
            return losses.relativistic(winner=on_fake, loser=on_real)
        return losses.hinge_generator(on_fake)

    def _adversarial_loss(
        self, real: list[Tensor], fake: list[Tensor], batch: DiscriminatorBatch
    ) -> Tensor:
        if self.segments:
            labels = batch.maps[0]
            return losses.oasis_discriminator(real[0], fake[0], labels, self._balance)
        if self.options.gan_loss == "relativistic":
            return losses.relativistic(winner=real, loser=fake)
        return losses.hinge_discriminator(real, fake)

    def _labelmix(
        self, on_real: Tensor, on_fake: Tensor, fake: Tensor, batch: DiscriminatorBatch
    ) -> Tensor:
        generators = batch.generators("labelmix", _CPU)
        coins = [torch.rand(self.num_labels, generator=g) < 0.5 for g in generators]
        from_real = torch.stack(coins).to(fake.device, non_blocking=True)
        mask = losses.labelmix_mask(batch.maps[0], from_real)
        on_mixed = self._discriminate(torch.where(mask, batch.real, fake), batch.maps)[0]
        return losses.labelmix_consistency(on_mixed, on_real, on_fake, mask)

    def _features(
        self, fake: Tensor, batch: DiscriminatorBatch
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Of real and of fake, found in one pass: per scale what follows each layer."""
        images, maps = torch.cat([batch.real, fake]), [torch.cat([x, x]) for x in batch.maps]
        features = cast(SpectralDiscriminator, self.discriminator).features
        scales = self._discriminate(images, maps, features)
        halves = [[x.chunk(2) for x in scale] for scale in scales]
        real, generated = ([[x[side] for x in scale] for scale in halves] for side in range(2))
        return real, generated

    def _discriminate(
        self,
        image: Tensor,
        maps: Sequence[Tensor],
        network: Callable[[Tensor, Sequence[Tensor]], Any] | None = None,
    ) -> Any:
        network = network or self.discriminator
        if not self._full_precision:
            return network(image, maps)
        with torch.autocast(image.device.type, enabled=False):
            wide = torch.promote_types(image.dtype, torch.float32)
            return network(image.to(wide), maps)


def _noise(like: Tensor, purpose: str, batch: DiscriminatorBatch) -> Tensor:
    generators = batch.generators(purpose, like.device)
    draws = [torch.randn(like.shape[1:], generator=g, device=like.device) for g in generators]
    return torch.stack(draws)
