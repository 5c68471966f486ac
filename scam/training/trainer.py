# SPDX-License-Identifier: Apache-2.0
"""One training step: encoder and generator first, then the discriminator."""

from typing import Any

import torch
from torch import Tensor, nn

from scam.models import Discriminator, Scam
from scam.nn.pyramid import LabelPyramid, labels_in
from scam.training.ema import Ema
from scam.training.losses import hinge_discriminator, hinge_generator
from scam.training.options import TrainOptions
from scam.training.precision import Precision

Losses = dict[str, Tensor]


class Trainer:
    """Networks, optimisers and weight average, advanced one step at a time.

    A step depends on the batch, the state and (seed, step) only: no global random state.
    """

    def __init__(
        self,
        model: Scam,
        discriminator: Discriminator,
        perceptual: nn.Module,
        options: TrainOptions,
        precision: Precision,
        device: torch.device,
    ) -> None:
        self.model = model.to(device)
        self.discriminator = discriminator.to(device)
        self.perceptual = perceptual.to(device)
        self.options = options
        self.precision = precision
        self.device = device
        self.ema = Ema(self.model, options.ema)
        self.optimizer = self._adamw(self.model, options.lr)
        self.optimizer_d = self._adamw(self.discriminator, options.lr_discriminator)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision.scaled)

    def step(self, image: Tensor, labels: Tensor, step: int) -> Losses:
        """Learn from image (B, 3, H, W) and labels (B, H, W); returns detached scalar losses.

        Where a gradient is not finite the weights stay as they are and ``skipped`` is 1. (Under
        float16 the gradient scaler sees to that, and it is part of its work.)
        """
        self.model.train()
        options = self.options
        adversarial = options.gan > 0 and step > options.gan_from
        noise = torch.Generator(self.device)
        noise.manual_seed((options.seed << 32) + step)
        parts = options.accumulate
        micro = zip(image.chunk(parts), labels.chunk(parts), strict=True)
        losses: Losses = {}
        played: list[tuple[Tensor, Tensor, LabelPyramid]] = []
        self.discriminator.requires_grad_(False)
        for real, maps in micro:
            played.append(self._generator_part(real, maps, noise, adversarial, losses))
        skipped = self._apply(self.optimizer, options.lr, step)
        if adversarial:
            self.discriminator.requires_grad_(True)
            for real, fake, pyramid in played:
                self._discriminator_part(real, fake, pyramid, losses)
            since = step - options.gan_from
            skipped += self._apply(self.optimizer_d, options.lr_discriminator, since)
        losses["skipped"] = skipped.clamp(max=1)
        self.scaler.update()
        self.ema.update()
        return losses

    def state_dict(self) -> dict[str, Any]:
        """Everything :meth:`load_state_dict` needs to go on as if never stopped."""
        return {
            "model": self.model.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "optimizer_d": self.optimizer_d.state_dict(),
            "ema": self.ema.state_dict(),
            "scaler": self.scaler.state_dict(),
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

    def _generator_part(
        self,
        real: Tensor,
        labels: Tensor,
        noise: torch.Generator,
        adversarial: bool,
        losses: Losses,
    ) -> tuple[Tensor, Tensor, LabelPyramid]:
        options = self.options
        occurring = None if labels.is_cuda else labels_in(labels)  # asking a GPU would wait for it
        real, labels = (x.to(self.device, non_blocking=True) for x in (real, labels))
        with self.precision.autocast(self.device):
            pyramid = self.model.pyramid(labels, occurring)
            fake = self.model(real, pyramid, noise)
            terms = {"l1": (options.l1, (fake - real).abs().mean())}
            if options.perceptual != "none" and options.perceptual_weight > 0:
                distance = self.perceptual(fake, real)
                terms["perceptual"] = (options.perceptual_weight, distance)
            if adversarial:
                terms["gan"] = (options.gan, hinge_generator(self._judge(fake, pyramid)))
            total = torch.stack([weight * loss for weight, loss in terms.values()]).sum()
        self._backward(total)
        self._record(losses, {name: loss for name, (_, loss) in terms.items()})
        return real, fake.detach(), pyramid

    def _discriminator_part(
        self, real: Tensor, fake: Tensor, pyramid: LabelPyramid, losses: Losses
    ) -> None:
        with self.precision.autocast(self.device):
            on_real, on_fake = (self._judge(x, pyramid) for x in (real, fake))
            loss = hinge_discriminator(on_real, on_fake)
        self._backward(self.options.gan * loss)
        self._record(losses, {"discriminator": loss})

    def _judge(self, image: Tensor, pyramid: LabelPyramid) -> list[Tensor]:
        if not self.precision.scaled:
            return self.discriminator(image, pyramid)
        # The gradient inside is of unscaled logits, which float16 would flush to zero.
        with torch.autocast(self.device.type, enabled=False):
            return self.discriminator(image.float(), pyramid)

    def _backward(self, loss: Tensor) -> None:
        self.scaler.scale(loss / self.options.accumulate).backward()

    def _apply(self, optimizer: torch.optim.Optimizer, lr: float, step: int) -> Tensor:
        """One step of the optimiser, or none; returns 1 if it was left out, else 0."""
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, step / max(self.options.warmup, 1))
        skipped = torch.zeros((), device=self.device)
        if not self.scaler.is_enabled():
            gradients = [
                p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None
            ]
            norm = nn.utils.get_total_norm(gradients)
            skipped = (~norm.isfinite()).float()
            # What a gradient scaler sets: the fused optimiser looks at it without a wait.
            optimizer.found_inf = skipped  # type: ignore[attr-defined]
        self.scaler.step(optimizer)
        optimizer.zero_grad(set_to_none=True)
        return skipped

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
