# SPDX-License-Identifier: Apache-2.0
"""What a model card says of how a model was trained."""

from pathlib import Path
from typing import Any

import torch

from scam.data import MergeSpec
from scam.synthesis.job import Job
from scam.version import __version__


def training_facts(job: Job, step: int) -> dict[str, Any]:
    """Plain values by name, after ``step`` steps; no path of this machine."""
    options = job.options
    data = job.folder.config.get("data", {})
    merge = data.get("merge")
    adversarial = options.gan > 0 and step > options.gan_from
    told = {
        name: getattr(options, name)
        for name, what in options.settings().items()
        if what.told
        and (adversarial or ("discriminator" not in what.needs and name != "gan_from"))
        and getattr(options, name) != what.default
    }
    return {
        "data": Path(data.get("data", "")).name,
        "training pictures": len(job.train),
        "held-out pictures": len(job.held_out),
        **({} if job.split is None else {"split": job.split.digest}),
        "steps": step,
        "pictures per step": options.batch_size * options.accumulate,
        **job.config.facts,
        "perceptual": options.perceptual,
        "discriminator": options.discriminator if adversarial else "none",
        **({} if merge is None else {"labels merged by": _merge_name(merge)}),
        **told,
        "weights": f"averaged, {options.ema}",
        "scam": __version__,
        "torch": torch.__version__,
    }


def _merge_name(merge: MergeSpec) -> str:
    return Path(merge).name if isinstance(merge, str) else f"a file, to {', '.join(merge)}"
