# SPDX-License-Identifier: Apache-2.0
"""Whether generated images, as a set, look like real ones: Frechet and kernel distances."""

import warnings
from collections.abc import Collection

from scam.errors import MissingError
from scam.evaluation.batches import Batch
from scam.evaluation.references import Extractor, Reference
from scam.evaluation.rows import Row
from scam.metrics import FeatureMoments, FeatureStatistics, frechet_distance, kernel_distance
from scam.metrics.frechet import RELIABLE

GENERATED = {
    "reconstruction": "R: reconstructions",
    "swap": "S: whole code of the donor",
    "transfer": "S: subject of the donor (Z_mix)",
}
REAL = "real pictures themselves"


class DistributionMeter:
    """Distances between the sets that the model generates and sets of real images.

    metrics: "frechet" and "kernel", each mapped to the metric's name in the table. references:
    the training images and the images measured on; the latter are also compared with the
    former, which shows how low real images get.
    """

    def __init__(
        self,
        extractor: Extractor,
        references: list[Reference],
        metrics: dict[str, str],
        total: int,
    ) -> None:
        if total < 2:
            raise MissingError(f"{total} image, expected 2 or more")
        self._extractor = extractor
        self._metrics = metrics
        self._moments = {name: FeatureMoments(total) for name in GENERATED}
        self._real: dict[str, FeatureStatistics | str] = {}
        for reference in references:
            try:
                self._real[reference.name] = extractor.statistics(reference)
            except MissingError as reason:
                self._real[reference.name] = str(reason)

    def update(self, batch: Batch) -> None:
        """See :class:`~scam.evaluation.batches.Meter`."""
        for name, moments in self._moments.items():
            moments.update(self._extractor(getattr(batch, name)))

    def rows(self) -> list[Row]:
        """See :class:`~scam.evaluation.batches.Meter`."""
        sets = {GENERATED[name]: moments.finish() for name, moments in self._moments.items()}
        last = list(self._real.values())[-1]
        if not isinstance(last, str):
            sets[REAL] = last
        found = [
            self._row(kind, metric, what, generated, name, real)
            for kind, metric in self._metrics.items()
            for what, generated in sets.items()
            for name, real in self._real.items()
            if real is not generated
        ]
        _warn(self._extractor.name, self._metrics.values(), found)
        return found

    def _row(
        self,
        kind: str,
        metric: str,
        what: str,
        generated: FeatureStatistics,
        name: str,
        real: FeatureStatistics | str,
    ) -> Row:
        if isinstance(real, str):
            return Row(metric, what, None, n=generated.count, against=name, note=real)
        against = f"{name} ({real.count})"
        fewest = min(generated.count, real.count)
        if kind == "frechet":
            value = frechet_distance(generated, real)
            note = f"biased: {fewest} < {RELIABLE} images" if fewest < RELIABLE else ""
        else:
            value = kernel_distance(generated.features, real.features)
            kept = min(len(generated.features), len(real.features))
            note = f"{kept} of {fewest} images" if kept < fewest else ""
        network = self._extractor.name if metric == "fd" else ""
        note = "; ".join(filter(None, (network, note, "a floor" if what == REAL else "")))
        return Row(metric, what, value, "", generated.count, against, "lower", note)


def _warn(name: str, metrics: Collection[str], rows: list[Row]) -> None:
    if any("biased" in row.note for row in rows):
        instead = "; kid is not biased" if list(metrics) == ["fid"] else ""
        warnings.warn(
            f"Frechet distances of {name} features over fewer than {RELIABLE} images are biased "
            f"upwards: compare only with equal n{instead}",
            stacklevel=2,
        )
