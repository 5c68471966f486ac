# SPDX-License-Identifier: Apache-2.0
"""Which data a run learns from: the section ``data`` of its ``config.json``."""

from dataclasses import dataclass
from typing import ClassVar

from scam.data.fit import Fit
from scam.data.labels import LABEL_SETS, NUM_VALUES
from scam.settings.fields import Checked, setting

MANNEQUINS = "mannequins"
"""The data that are drawn, not read."""


@dataclass(frozen=True)
class DataOptions(Checked):
    """The arguments of :func:`scam.data.open_source`, which explains them."""

    title: ClassVar[str] = "data"
    heading: ClassVar[str] = "data"

    data: str = setting(MANNEQUINS, "folder with images/ and label maps, or mannequins")
    labels: str = setting("labels", "name of the label map folder")
    merge: str | dict[str, tuple[int, ...]] | None = setting(
        None, "idesigner, body, or a JSON file that merges labels"
    )
    ignore_label: int | None = setting(
        None, "label value that means: no label", least=0, below=NUM_VALUES
    )
    label_set: str | None = setting(None, f"what the labels on disk are: {', '.join(LABEL_SETS)}")
    fit: Fit = setting(
        "squash", "how images of other proportions become --size: squashed, cropped or padded"
    )
    holdout: int | None = setting(
        None, "images held out of training, to measure on", least=1, most=1 << 40
    )
