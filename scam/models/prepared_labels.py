# SPDX-License-Identifier: Apache-2.0
"""Label maps as a model reads them, made once for several calls."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from scam.models.inputs import LabelMapLike


class PreparedLabels(Protocol):
    """What :meth:`scam.models.SynthesisModel.prepare` makes of label maps.

    labels: int32 (B, H, W), -1 = no label. present: (B, L) bool, which labels they hold.
    """

    @property
    def labels(self) -> Tensor: ...  # noqa: D102
    @property
    def present(self) -> Tensor: ...  # noqa: D102


@dataclass(frozen=True)
class PlainLabels:
    """The :class:`PreparedLabels` of a model that reads the map as it is."""

    labels: Tensor
    present: Tensor


LabelsLike = LabelMapLike | PreparedLabels
"""Label maps, or what the model prepared of them."""
