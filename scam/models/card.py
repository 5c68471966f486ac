# SPDX-License-Identifier: Apache-2.0
"""The model card: what a model generates, how it came to be, what not to use it for."""

from collections.abc import Mapping
from typing import Any

from scam.errors import printable, sized
from scam.models.config import ModelConfig

CARD = "README.md"
"""The name under which the Hub shows it."""
_HEAD = """\
---
library_name: semantic-cross-attention
pipeline_tag: image-to-image
tags:
- scam
- semantic-image-synthesis
- subject-transfer
---

# {kind}, {size}, {labels} labels

{summary}

```python
import scam  # of the package semantic-cross-attention

model = scam.load("this folder")
picture = model.open_picture("photograph.jpg", "label_map.png")
styles = model.encode(*picture)
image = model.generate(picture.labels, styles)  # (1, 3, {height}, {width}) in [-1, 1]
scam.save_picture(image, "generated.png")
```

## Labels

{names}
"""
_TAIL = """\
## Limits

It generates what its training images look like, and does badly on people unlike those in them.
Images of people need the consent of those in them; do not pass off generated ones as
photographs.
If you share the model, state its licence here, and whose images it was trained on.
"""


def model_card(config: ModelConfig, about: Mapping[str, Any]) -> str:
    """Markdown with the Hub's header; ``about``: what a ``config.json`` says beside the model.

    ``trained``, where it is there, holds plain values by name: shown as a table.
    """
    height, width = config.size
    head = _HEAD.format(
        kind=config.kind.upper(),
        size=sized(config.size),
        height=height,
        width=width,
        labels=config.num_labels,
        summary=config.summary,
        names=", ".join(f"{i} {name}" for i, name in enumerate(about["label_names"])),
    )
    return "\n".join([head, *_trained(about.get("trained", {})), _TAIL])


def _trained(facts: Mapping[str, Any]) -> list[str]:
    if not facts:
        return []
    rows = [f"| {name.replace('_', ' ')} | {_words(value)} |" for name, value in facts.items()]
    return ["## Training", "", "| | |", "|---|---|", *rows, ""]


def _words(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else printable(value)
