# SPDX-License-Identifier: Apache-2.0
"""Which data a run learns from: the section ``data`` of its ``config.json``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scam.data.labels import NUM_VALUES
from scam.errors import InputError
from scam.settings.fields import Checked, bounded


@dataclass(frozen=True)
class DataOptions(Checked):
    """The arguments of :func:`scam.data.open_source`, which explains them."""

    data: str = "mannequins"
    labels: str = "labels"
    merge: str | dict[str, tuple[int, ...]] | None = None
    ignore_label: int | None = bounded(None, least=0, below=NUM_VALUES)
    label_set: str | None = None
    holdout: int | None = bounded(None, least=1, most=1 << 40)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataOptions":
        """Inverse of :meth:`as_dict`; an unknown key or unusable value raises InputError."""
        try:
            options: DataOptions = super().from_dict(values)
        except InputError as error:
            raise InputError(f"data: {error}") from error
        return options
