# SPDX-License-Identifier: Apache-2.0
"""The model card: what a model paints, how it came to be, and what it should not be used for."""

from collections.abc import Mapping
from typing import Any

from scam.errors import one_line

CARD = "README.md"
"""The name under which the Hub shows it."""
_HEAD = """\
---
library_name: scam
pipeline_tag: image-to-image
tags:
- scam
- semantic-image-synthesis
- subject-transfer
---

# SCAM, {height}x{width} pixels, {labels} labels

Encodes a picture and its label map to {tokens} latents of width {token_dim}, {per_label} per label
({background} for label 0), and paints pictures from a label map and such latents; latents mixed
from two pictures transfer the subject.

```python
from scam import Scam

model = Scam.from_pretrained("this folder")
latents = model.encode(image, labels)  # image (3, {height}, {width}) in [-1, 1], labels int
picture = model.generate(labels, latents)
```

## Labels

{names}
"""
_TAIL = """\
## Limits

It paints what its training pictures looked like, and whoever they left out it paints badly.
Pictures of people need the consent of those in them; do not pass painted ones off as photographs.
Who shares the model says here under which licence, and whose pictures it learned from.
"""


def model_card(description: Mapping[str, Any]) -> str:
    """Markdown with the Hub's header, from a model's ``config.json``.

    ``trained``, where it is there, holds plain values by name: shown as a table.
    """
    model = description["model"]
    height, width = model["size"]
    rest = (model["num_labels"] - 1) * model["latents_per_label"]
    head = _HEAD.format(
        height=height,
        width=width,
        labels=model["num_labels"],
        tokens=model["background_latents"] + rest,
        token_dim=model["token_dim"],
        per_label=model["latents_per_label"],
        background=model["background_latents"],
        names=", ".join(f"{i} {name}" for i, name in enumerate(description["label_names"])),
    )
    return "\n".join([head, *_trained(description.get("trained", {})), _TAIL])


def _trained(facts: Mapping[str, Any]) -> list[str]:
    if not facts:
        return []
    rows = [f"| {name.replace('_', ' ')} | {_words(value)} |" for name, value in facts.items()]
    return ["## Training", "", "| | |", "|---|---|", *rows, ""]


def _words(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else one_line(value)
