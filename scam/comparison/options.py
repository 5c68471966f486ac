# SPDX-License-Identifier: Apache-2.0
"""How every variant of a comparison is measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from scam.errors import InputError
from scam.evaluation.options import METRICS, EvaluationOptions
from scam.settings.fields import Checked, like

_LEFT_OUT = ("kid", "fd", "transfer", "influence", "maps")


@dataclass(frozen=True)
class MeasuringOptions(Checked):
    """Those of :class:`~scam.evaluation.options.EvaluationOptions` that do not follow from a run.

    Raises:
        InputError: as these.
    """

    heading: ClassVar[str] = "measuring"

    metrics: tuple[str, ...] = like(
        EvaluationOptions,
        "metrics",
        default=tuple(name for name in METRICS if name not in _LEFT_OUT),
        help="which of scam.evaluate's",
        default_help=f"default: all but {', '.join(_LEFT_OUT)}",
    )
    noise_seeds: int = like(EvaluationOptions, "noise_seeds", default=3)
    background_labels: tuple[str, ...] = like(EvaluationOptions, "background_labels")
    max_pictures: int | None = like(EvaluationOptions, "max_pictures", heading=None)
    reference_pictures: int | None = like(EvaluationOptions, "reference_pictures", heading=None)
    inception_weights: Path | None = like(EvaluationOptions, "inception_weights")
    lpips_trunk: Literal["alex", "vgg"] = like(EvaluationOptions, "lpips_trunk")
    lpips_weights: Path | None = like(EvaluationOptions, "lpips_weights")
    dinov2_weights: Path | None = like(EvaluationOptions, "dinov2_weights")
    extractor: str | None = like(EvaluationOptions, "extractor")
    reid_weights: Path | None = like(EvaluationOptions, "reid_weights")
    cache: Path | None = like(EvaluationOptions, "cache")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in self.of(Path()).networks.items():
            if isinstance(value, Path) and not value.is_file():
                raise InputError(f"{{{name}}}: expected a file", **{name: value})

    def of(self, run: Path, **more: Any) -> EvaluationOptions:
        """For the model in the folder ``run``; more: of these options, what follows from it."""
        own = {name: getattr(self, name) for name in self.settings()}
        return EvaluationOptions(checkpoint=run, **own, **more)
