# SPDX-License-Identifier: Apache-2.0
"""One training step: encoder and generator first, then the discriminator."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from scam.models import Scam
from scam.nn.pyramid import labels_in
from scam.synthesis.adversary import Adversary, DiscriminatorBatch
from scam.synthesis.augment import Augmentation, kept_styles, parse_policy
from scam.training.distributed import SINGLE_PROCESS, World
from scam.training.ema import Ema
from scam.training.options import TrainOptions
from scam.training.precision import Precision
from scam.training.randomness import PictureGenerators, picture_generators

Losses = dict[str, Tensor]

_CPU = torch.device("cpu")


class Trainer:
    """Networks, optimisers and weight average, advanced one step at a time.

    A step depends on the batch, the state and (seed, step) only: no global random state. With
    several processes each calls :meth:`step` with its share of the batch, and all end with the
    same weights.
    """

    def __init__(
        self,
        model: Scam,
        discriminator: nn.Module,
        perceptual: nn.Module,
        options: TrainOptions,
        precision: Precision,
        device: torch.device,
        world: World = SINGLE_PROCESS,
    ) -> None:
        model = world.synchronise_norms(model, device)
        discriminator = world.synchronise_norms(discriminator, device)
        self.memory_format = (
            torch.channels_last if options.channels_last else torch.preserve_format
        )
        self.model = model.to(device).to(memory_format=self.memory_format)
        self.discriminator = discriminator.to(device).to(memory_format=self.memory_format)
        self.perceptual = perceptual.to(device)
        self.options = options
        self.precision = precision
        self.device = device
        self.world = world
        self.ema = Ema(self.model, options.ema)
        self.optimizer = self._adamw(self.model, options.lr)
        self.optimizer_d = self._adamw(self.discriminator, options.lr_discriminator)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision.scaled)
        labels = model.config.num_labels
        self.adversary = Adversary(self.discriminator, labels, options, precision, device, world)
        self.model.use_gradient_checkpointing(options.gradient_checkpointing)
        if options.compile:
            self.model.compile_networks()
        self._perceptual_policy = parse_policy("augment_perceptual", options.augment_perceptual)

    def step(self, image: Tensor, labels: Tensor, step: int) -> Losses:
        """Learn from image (B, 3, H, W) and labels (B, H, W); returns detached scalar losses.

        B is this process's share (``World.share``) of the step's pictures. Losses are means over
        all of them.

        Where a loss or a gradient is not finite the weights stay as they are and ``skipped`` is
        1. Under float16 some gradients are, until the gradient scaler has found its scale.
        """
        self.model.train()
        options = self.options
        adversarial = options.gan > 0 and step > options.gan_from
        places = self.world.share(len(image) * self.world.size)
        size = len(image) // options.accumulate
        micro = [slice(i, i + size) for i in range(0, len(image), size)]
        losses: Losses = {}
        losses_d: Losses = {}
        shown: list[tuple[Tensor, DiscriminatorBatch]] = []
        if adversarial:
            self.adversary.begin(labels, partial(picture_generators, options.seed, step, places))
        self.discriminator.requires_grad_(False)
        for part in micro:
            generators = partial(picture_generators, options.seed, step, places[part])
            to_show = self._generator_part(
                image[part], labels[part], generators, adversarial, losses
            )
            if to_show is not None:
                shown.append(to_show)
        skipped, losses["grad_norm"] = self._apply(self.optimizer, losses, options.lr, step)
        if adversarial:
            self.discriminator.requires_grad_(True)
            for fake, batch in shown:
                self._discriminator_part(fake, batch, losses_d)
            self.adversary.finish()
            since = step - options.gan_from
            lr = options.lr_discriminator
            skipped += self._apply(self.optimizer_d, losses_d, lr, since)[0]
            losses |= losses_d
        losses["skipped"] = skipped.clamp(max=1)
        self.scaler.update()
        self.ema.update()
        means = self.world.mean(torch.stack([x.float() for x in losses.values()]))
        return dict(zip(losses, means, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Everything :meth:`load_state_dict` needs to go on as if never stopped."""
        return {
            "model": self.model.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "optimizer_d": self.optimizer_d.state_dict(),
            "ema": self.ema.state_dict(),
            "scaler": self.scaler.state_dict(),
            "adversary": self.adversary.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        self.model.load_state_dict(state["model"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.optimizer_d.load_state_dict(state["optimizer_d"])
        self.ema.load_state_dict(state["ema"])
        if state["scaler"]:  # empty where the run was not scaled before
            self.scaler.load_state_dict(state["scaler"])
        self.adversary.load_state_dict(state.get("adversary", {}))

    def _generator_part(
        self,
        real: Tensor,
        labels: Tensor,
        generators: PictureGenerators,
        adversarial: bool,
        losses: Losses,
    ) -> tuple[Tensor, DiscriminatorBatch] | None:
        """Losses and gradients; returns what the discriminator shall be shown, if anything."""
        options = self.options
        occurring = None
        if not labels.is_cuda:  # asking a GPU would wait for it
            occurring = labels_in(labels, self.model.config.num_labels)
        real, labels = (x.to(self.device, non_blocking=True) for x in (real, labels))
        real = real.contiguous(memory_format=self.memory_format)
        with self.precision.autocast(self.device):
            pyramid = self.model.pyramid(labels, occurring)
            fake = self.model(
                real, pyramid, generators("noise", self.device), self._kept_labels(generators)
            )
            terms = {"l1": (options.l1, (fake - real).abs().mean())}
            if options.perceptual != "none" and options.perceptual_weight > 0:
                distance = self._perceptual_distance(fake, real, generators)
                terms["perceptual"] = (options.perceptual_weight, distance)
            batch = self.adversary.batch(real, pyramid, generators) if adversarial else None
            if batch is not None:
                terms["gan"] = (options.gan, self.adversary.generator_loss(fake, batch))
            total = torch.stack([weight * loss for weight, loss in terms.values()]).sum()
        self._backward(total)
        self._record(losses, {name: loss for name, (_, loss) in terms.items()})
        return None if batch is None else (fake.detach(), batch)

    def _kept_labels(self, generators: PictureGenerators) -> Tensor | None:
        """Labels that keep their latents, (B, L); None: all."""
        dropout = self.options.style_dropout
        if dropout == 0:
            return None
        kept = kept_styles(dropout, self.model.config.num_labels, generators("style", _CPU))
        return kept.to(self.device, non_blocking=True)

    def _perceptual_distance(
        self, fake: Tensor, real: Tensor, generators: PictureGenerators
    ) -> Tensor:
        if self._perceptual_policy:
            drawn = Augmentation.draw(self._perceptual_policy, generators("perceptual", _CPU))
            fake, real = drawn.pictures(fake), drawn.pictures(real)
        return self.perceptual(fake, real)

    def _discriminator_part(self, fake: Tensor, batch: DiscriminatorBatch, losses: Losses) -> None:
        with self.precision.autocast(self.device):
            terms = self.adversary.discriminator_losses(fake, batch)
            total = torch.stack([weight * loss for weight, loss in terms.values()]).sum()
        self._backward(self.options.gan * total)
        self._record(losses, {name: loss for name, (_, loss) in terms.items()})

    def _backward(self, loss: Tensor) -> None:
        self.scaler.scale(loss / self.options.accumulate).backward()

    def _apply(
        self, optimizer: torch.optim.Optimizer, losses: Losses, lr: float, step: int
    ) -> tuple[Tensor, Tensor]:
        """One step of the optimiser, or none: 1 if it was left out, else 0; the gradient norm."""
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, step / max(self.options.warmup, 1))
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        # A loss can be infinite and its gradient not, as that of |x| is: 0 * inf is no number.
        next(p.grad for p in parameters if p.grad is not None).add_(0 * sum(losses.values()))
        self.world.average_gradients(parameters)
        self.scaler.unscale_(optimizer)
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        skipped = (~norm.isfinite()).float()
        if self.options.max_grad_norm > 0:
            nn.utils.clip_grads_with_norm_(parameters, self.options.max_grad_norm, norm)
        if not self.scaler.is_enabled():
            # What a gradient scaler sets: the fused optimiser looks at it without a wait.
            optimizer.found_inf = skipped  # type: ignore[attr-defined]
        self.scaler.step(optimizer)
        optimizer.zero_grad(set_to_none=True)
        return skipped, norm

    def _record(self, losses: Losses, values: Losses) -> None:
        for name, value in values.items():
            share = value.detach() / self.options.accumulate
            losses[name] = losses[name] + share if name in losses else share

    def _adamw(self, module: nn.Module, lr: float) -> torch.optim.AdamW:
        return torch.optim.AdamW(
            module.parameters(),
            lr=lr,
            betas=(0.9, 0.999),
            weight_decay=self.options.weight_decay,
            fused=True,
        )
