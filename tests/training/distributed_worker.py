# SPDX-License-Identifier: Apache-2.0
"""Run by torchrun, or alone: tasks whose results in several processes are compared with one."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scam.data import Mannequins, PairDataset, batches
from scam.errors import InputError, PeerExited
from scam.models import Reconstruction, Scam, ScamConfig, SynthesisModel
from scam.models.registry import MODELS, build
from scam.synthesis.discriminators import build_discriminator
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.step import SynthesisStep
from scam.training.distributed import World, join
from scam.training.precision import resolve_precision
from scam.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL = ScamConfig(
    11, (32, 32), width=16, levels=4, latents_per_label=2, background_latents=4,
    token_dim=16, attention_dim=16,
)  # fmt: skip


class Divergent(Scam):
    """With a loss of its own, as models that draw their styles have."""

    def reconstruct(
        self, image: Tensor, labels: Any, noise: Any = None, kept: Tensor | None = None
    ) -> Reconstruction:
        made = super().reconstruct(image, labels, noise, kept)
        return Reconstruction(made.image, {"kl": (0.3, made.image.square().mean())})


def train(world: World, out: Path, steps: int, options: dict[str, Any]) -> None:
    """Steps in float64, where processes agree until late; writes losses and state.

    options: of the training; "kind": of a model with batch norms, in place of SCAM.
    """
    kind = options.pop("kind", None)
    settings = SynthesisOptions(perceptual="none", lr=1e-3, lr_discriminator=1e-3, **options)
    torch.manual_seed(0)
    model: SynthesisModel = Divergent(SMALL)
    if kind is not None:
        shapes = {"width": 4, "levels": 3, "token_dim": 8}
        model = build(MODELS[kind].Config(num_labels=11, size=SMALL.size, **shapes))
    model = model.double()
    discriminator = build_discriminator(SMALL, settings).double()
    precision = resolve_precision(False, CPU)
    learner = SynthesisStep(model, discriminator, nn.Identity(), settings, precision, CPU, world)
    trainer = Trainer(learner, world)
    per_step = settings.batch_size * settings.accumulate
    dataset = PairDataset(Mannequins("train", 12), SMALL.size, flip=True, recolour=0.5, warp=0.5)
    stream = batches(dataset, per_step, seed=0, places=world.share(per_step))
    losses = []
    for step in range(1, steps + 1):
        batch = next(stream)
        found = trainer.step((batch["image"].double(), batch["labels"]), step)
        losses.append({name: float(value) for name, value in found.items()})
    world.check_equal(model.parameters())
    world.check_equal(discriminator.parameters())
    if world.is_main:
        torch.save({"losses": losses, "state": trainer.state_dict()}, out)


def primitives(world: World, out: Path) -> None:
    """What each method gives in each process."""
    rank = float(world.rank)
    a, b, c = (nn.Parameter(torch.ones(2, 3)) for _ in range(3))
    a.grad = torch.full((3, 2), rank).t()  # strides of its own
    if not world.is_main:
        b.grad = torch.full((2, 3), 4.0)
    world.average_gradients([a, b, c])
    assert a.grad.stride() == (1, 2)
    found: dict[str, Any] = {
        "share": list(world.share(5)),
        "mean": world.mean(torch.tensor([rank, torch.nan])).isnan().tolist(),
        "any": [world.any(False), world.any(not world.is_main)],
        "gradients": [None if p.grad is None else p.grad.unique().tolist() for p in (a, b, c)],
        "from_main": world.from_main(lambda: {"told by": world.rank}),
    }
    for name, attempt in (
        ("refused", lambda: world.from_main(_refuse)),
        ("unequal", lambda: world.check_equal([torch.tensor([1.0, rank])])),
        ("equal", lambda: world.check_equal([torch.ones(3), torch.tensor(True)])),
        ("agreed", lambda: _agreed(world)),
    ):
        try:
            attempt()
        except (InputError, PeerExited) as error:
            found[name] = f"{type(error).__name__}: {error}"
    if not world.is_main:
        (out / f"{world.rank}.json").write_text(json.dumps(found))
        raise SystemExit(0)  # and the main process, left alone, says so
    try:
        while True:
            world.any(False)
    except PeerExited as error:
        found["alone"] = [error.status, error.cause]
    (out / "0.json").write_text(json.dumps(found))


def _refuse() -> None:
    raise InputError("no")


def _agreed(world: World) -> None:
    with world.agreed():
        raise InputError("all of us")


if __name__ == "__main__":
    torch.set_num_threads(1)
    task, out, *rest = sys.argv[1:]
    with join(CPU) as (world, _):
        if task == "primitives":
            primitives(world, Path(out))
        else:
            for name, (steps, options) in json.loads(rest[0]).items():
                train(world, Path(out) / f"{name}.pt", steps, options)
