# SPDX-License-Identifier: Apache-2.0
"""How far two sets of images are apart, judged by the Gaussians of their features."""

from dataclasses import dataclass

import torch
from torch import Tensor

RELIABLE = 2048
"""Below so many images the distance is biased upwards by much; so many features are kept."""


@dataclass(frozen=True)
class FeatureStatistics:
    """What is remembered of the features of a set of images.

    count: images. mean: float64 (D,). covariance: float64 (D, D), unbiased.
    features: float32 (min(count, 2048), D), an even spread of them.
    """

    count: int
    mean: Tensor
    covariance: Tensor
    features: Tensor

    @property
    def factor(self) -> Tensor:
        """A matrix F (K, D) with covariance = F^T F; K is the smaller of count and D if known."""
        if len(self.features) == self.count < len(self.mean):
            return (self.features.double() - self.mean) / (self.count - 1) ** 0.5
        values, vectors = torch.linalg.eigh(self.covariance)
        return values.clamp(min=0).sqrt()[:, None] * vectors.T


class FeatureMoments:
    """Collects :class:`FeatureStatistics` batch by batch, in memory that does not grow with it."""

    def __init__(self, total: int) -> None:
        if total < 2:
            raise ValueError(f"a covariance needs 2 images or more, got {total}")
        self._total = total
        self._count = 0
        self._kept: list[Tensor] = []

    def update(self, features: Tensor) -> None:
        """Add features (B, D) of the next B of ``total`` images."""
        rows = features.detach().cpu().double()
        if not self._count:
            self._mean = rows.new_zeros(rows.shape[1])
            self._scatter = rows.new_zeros(rows.shape[1], rows.shape[1])
        before, self._count = self._count, self._count + len(rows)
        # Chan, Golub and LeVeque: scatters about the batches' own means, plus that of the means.
        mean = rows.mean(0)
        centred, step = rows - mean, mean - self._mean
        self._scatter += centred.T @ centred
        self._scatter += step.outer(step) * (before * len(rows) / self._count)
        self._mean = self._mean + step * (len(rows) / self._count)
        kept = [i for i in range(len(rows)) if self._is_kept(before + i)]
        self._kept.append(rows[kept].float())

    def finish(self) -> FeatureStatistics:
        """The statistics. ValueError unless exactly ``total`` images were added."""
        if self._count != self._total:
            raise ValueError(f"{self._count} images were added, expected {self._total}")
        covariance = self._scatter / (self._count - 1)
        return FeatureStatistics(self._count, self._mean, covariance, torch.cat(self._kept))

    def _is_kept(self, index: int) -> bool:
        if self._total <= RELIABLE:
            return True
        return (index + 1) * RELIABLE // self._total > index * RELIABLE // self._total


def frechet_distance(one: FeatureStatistics, other: FeatureStatistics) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians; FID for Inception features.

    ``|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2))``. With S1 = F^T F the eigenvalues of
    S1 S2 are those of the symmetric F S2 F^T, which stay real whatever the rank.
    """
    small, large = sorted((one, other), key=lambda known: known.count)
    factor = small.factor
    product = factor @ large.covariance @ factor.T
    values = torch.linalg.eigvalsh((product + product.T) / 2)
    # Roots of what rounding has left of zeros would add up.
    rounding = values.max() * len(values) * torch.finfo(values.dtype).eps
    shared = torch.where(values > rounding, values, 0.0).sqrt().sum()
    means = (one.mean - other.mean).square().sum()
    return float(means + one.covariance.trace() + other.covariance.trace() - 2 * shared)
