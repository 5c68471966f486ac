# SPDX-License-Identifier: Apache-2.0
"""What the page has to know of the model."""

from typing import Any

import torch

from scam.data.picture import palette
from scam.models.checkpoint import run_around
from scam.settings.environment import max_pixels
from scam.studio.attention import layers_of
from scam.studio.files import FILES
from scam.studio.pictures import MOST_BYTES, MOST_PIXELS, Pictures


def describe(pictures: Pictures, fingerprint: str) -> dict[str, Any]:
    """The answer to ``GET /api/model`` for a trained model."""
    checkpoint = pictures.checkpoint
    model = checkpoint.model
    layers = layers_of(model)
    of_tokens = model.token_labels.tolist()
    labels = [
        {
            "id": label,
            "name": name,
            "colour": "#{:02x}{:02x}{:02x}".format(*colour),
            "latents": of_tokens.count(label),
            "mean": known,
        }
        for label, (name, colour, known) in enumerate(
            zip(
                checkpoint.label_names,
                palette(len(checkpoint.label_names)).tolist(),
                model.mean_known.tolist(),
                strict=True,
            )
        )
    ]
    return {
        "title": (run_around(checkpoint.path) or checkpoint.path).name,
        "kind": model.config.kind,
        "size": list(model.config.size),
        "device": str(model.token_labels.device),
        "threads": torch.get_num_threads(),
        "model": fingerprint,
        "labels": labels,
        "styles_per_label": model.styles_per_label,
        "draws_styles": model.draws_styles,
        "lends": True,
        "slow": False,
        "attention": bool(layers),
        "layers": layers,
        "files": list(FILES),
        "parser": pictures.parser is not None,
        "examples": [] if pictures.examples is None else list(pictures.examples.stems),
        "limits": {"bytes": MOST_BYTES, "pixels": min(MOST_PIXELS, max_pixels())},
    }
