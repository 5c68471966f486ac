# SPDX-License-Identifier: Apache-2.0
"""How a generator learns one image."""

from dataclasses import dataclass
from typing import ClassVar

from scam.errors import InputError
from scam.settings.fields import like, setting
from scam.training.options import TrainOptions


@dataclass(frozen=True)
class SemiaOptions(TrainOptions):
    """Training on one image; weights are the paper's unless said otherwise."""

    steps: int = like(TrainOptions, "steps", default=1000)
    batch_size: int = like(TrainOptions, "batch_size", default=1, flag=False)
    accumulate: int = like(TrainOptions, "accumulate", flag=False)
    workers: int = like(TrainOptions, "workers", default=0, flag=False)
    lr: float = like(TrainOptions, "lr", default=2e-3)
    warmup: int = like(TrainOptions, "warmup", default=20)
    weight_decay: float = like(TrainOptions, "weight_decay", default=0.0)
    ema: float = like(TrainOptions, "ema", default=0.99)
    eval_every: int = like(TrainOptions, "eval_every", default=200)
    sample_every: int = like(TrainOptions, "sample_every", default=200)
    save_every: int = like(TrainOptions, "save_every", default=200)
    decay_from: float = setting(
        0.6, "share of the steps after which learning rates fall to 0", least=0, most=1
    )
    gan: float = setting(1.0, "weight of the adversarial loss", least=0)
    feature_matching: float = setting(1.0, "of features of the discriminator", least=0)
    coherence: float = setting(10.0, "of the distance to the source's patches", least=0)
    align: float = setting(0.1, "of the label map that a segmenter sees in the result", least=0)
    fixed_point: float = setting(
        1.0, "of scales of 1 and shifts of 0 where no label moved", least=0
    )
    l1: float = setting(5.0, "of the difference where the result is known", least=0)
    pairs: int = setting(
        64, "training pairs: warped copies of the source, and edited label maps", least=1,
        most=1 << 16,
    )  # fmt: skip
    discriminator_width: int = setting(32, "channels of the discriminator", least=1, most=1 << 10)

    title: ClassVar[str] = "training options"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.gan or self.feature_matching or self.coherence or self.align):
            message = (
                "{gan}: expected {:gan}, {:feature_matching}, {:coherence} or {:align} above 0"
            )
            raise InputError(message, gan=self.gan)
