# SPDX-License-Identifier: Apache-2.0
"""A distance of two sets of features that is unbiased however few there are."""

from torch import Tensor


def kernel_distance(one: Tensor, other: Tensor) -> float:
    """Unbiased squared MMD of features (N, D) and (M, D), N, M >= 2; KID for Inception features.

    The kernel is (x.y / D + 1)^3, as in Binkowski et al., ICLR 2018; all pairs are used, where
    other programs average over random subsets. Equal distributions give 0 on average, so single
    values may be negative. ValueError for fewer than 2 rows.
    """
    if min(len(one), len(other)) < 2:
        raise ValueError(f"expected 2 features or more, got {len(one)} and {len(other)}")
    one, other = one.double(), other.double()
    within = _mean_of_pairs(one) + _mean_of_pairs(other)
    return float(within - 2 * _kernel(one, other).mean())


def _mean_of_pairs(x: Tensor) -> Tensor:
    kernel = _kernel(x, x)
    return (kernel.sum() - kernel.diagonal().sum()) / (len(x) * (len(x) - 1))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
