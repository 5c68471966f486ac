# SPDX-License-Identifier: Apache-2.0
"""Runs small enough to repeat: mannequins at 32x32, four latents a label."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scam.data import Mannequins, PairDataset
from scam.models import Scam, ScamConfig
from scam.synthesis.discriminators import build_discriminator
from scam.synthesis.job import Job
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.perceptual import PyramidDistance
from scam.synthesis.step import SynthesisStep
from scam.training.precision import resolve_precision
from scam.training.run_folder import RunFolder
from scam.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL = ScamConfig(
    11, (32, 32), width=16, levels=4, latents_per_label=2, background_latents=4,
    token_dim=16, attention_dim=16,
)  # fmt: skip


@pytest.fixture
def small() -> ScamConfig:
    return SMALL


@pytest.fixture(scope="session")
def make_trainer() -> Callable[..., Trainer]:
    def make(model: ScamConfig = SMALL, **options: object) -> Trainer:
        settings = SynthesisOptions(**{"lr": 1e-3, "lr_discriminator": 1e-3, **options})
        torch.manual_seed(settings.seed)
        step = SynthesisStep(
            Scam(model, fused=settings.fused_sca),
            build_discriminator(model, settings),
            PyramidDistance(),
            settings,
            resolve_precision(settings.amp, CPU),
            CPU,
        )
        return Trainer(step)

    return make


def _make_job(
    out: Path, *, resume: bool = False, fidelity: str = "default", **options: object
) -> Job:
    model = replace(SMALL, fidelity=fidelity)
    settings = SynthesisOptions(
        **{
            "steps": 4,
            "batch_size": 2,
            "workers": 0,
            "log_every": 1,
            "save_every": 2,
            **options,
        }
    )
    folder = RunFolder.resume(out, {}) if resume else RunFolder.start(out, {"any": 1})
    learn, held_out = Mannequins("train", 12), Mannequins("val", 3)
    return Job(
        folder,
        model,
        settings,
        PairDataset(learn, SMALL.size, flip=True),
        PairDataset(held_out, SMALL.size),
        CPU,
    )


@pytest.fixture
def make_job() -> Callable[..., Job]:
    return _make_job


@pytest.fixture(scope="module")
def make_module_job() -> Callable[..., Job]:
    return _make_job
