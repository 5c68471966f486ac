# SPDX-License-Identifier: Apache-2.0
"""Running error analysis: how far rounding may carry a result, found along with the result.

Where terms cancel, the error of a sum follows the sum of their magnitudes, not what is left of
them. See Higham, Accuracy and Stability of Numerical Algorithms, 3.3.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def rounding(magnitude: Tensor, dtype: torch.dtype, terms: int = 1) -> Tensor:
    """What one rounding may change, and what ``terms`` numbers may lose that are close to 0."""
    limits = torch.finfo(dtype)
    # fp16 is stored with all its small numbers; wider arithmetic may flush them.
    least = limits.smallest_normal if dtype != torch.float16 else 2.0**-24
    return limits.eps * magnitude + terms * least * (magnitude > 0).to(magnitude.dtype)


@dataclass(frozen=True)
class Rounded:
    """Numbers, and a bound to first order on their error if each step rounds once.

    A sum or a product of matrices counts as one step: eps times the sum of its terms' magnitudes,
    on top of what the errors of its operands make of it. Numbers that a dtype keeps with fewer
    digits, being so small, may each be lost.

    Attributes:
        value: any shape, fp64.
        error: at least 0, like ``value`` or broadcast to it.
        dtype: of the arithmetic that is judged.
    """

    value: Tensor
    error: Tensor
    dtype: torch.dtype

    @classmethod
    def exact(cls, value: Tensor, dtype: torch.dtype) -> "Rounded":
        """Numbers that carry no error, as inputs do."""
        return cls(value, torch.zeros_like(value), dtype)

    def _made(
        self, value: Tensor, carried: Tensor, magnitude: Tensor | None = None, terms: int = 1
    ) -> "Rounded":
        magnitude = value.abs() if magnitude is None else magnitude
        return Rounded(value, carried + rounding(magnitude, self.dtype, terms), self.dtype)

    def __add__(self, other: "Rounded") -> "Rounded":
        return self._made(self.value + other.value, self.error + other.error)

    def __sub__(self, other: "Rounded") -> "Rounded":
        return self._made(self.value - other.value, self.error + other.error)

    def __mul__(self, other: "Rounded") -> "Rounded":
        carried = self.error * other.value.abs() + self.value.abs() * other.error
        return self._made(self.value * other.value, carried)

    def __matmul__(self, other: "Rounded") -> "Rounded":
        one, two = self.value.abs(), other.value.abs()
        carried = self.error @ two + one @ other.error
        return self._made(self.value @ other.value, carried, one @ two, one.shape[-1])

    def sum(self, axis: int, *, keepdim: bool = False) -> "Rounded":
        """Over one axis."""
        value, error, magnitude = (
            t.sum(axis, keepdim=keepdim) for t in (self.value, self.error, self.value.abs())
        )
        return self._made(value, error, magnitude, self.value.shape[axis])

    def mean(self, axis: int, *, keepdim: bool = False) -> "Rounded":
        """Over one axis."""
        return self.sum(axis, keepdim=keepdim).times(1 / max(1, self.value.shape[axis]))

    def times(self, factor: float | Tensor) -> "Rounded":
        """By an exact factor, without a rounding of its own: fused, or a power of two."""
        value = self.value * factor
        size = factor.abs() if isinstance(factor, Tensor) else abs(factor)
        return Rounded(value, self.error * size, self.dtype)

    def rsqrt(self) -> "Rounded":
        """1 / square root; the values are positive."""
        value = self.value.rsqrt()
        return self._made(value, value * self.error / (2 * self.value))

    def stored(self, dtype: torch.dtype) -> "Rounded":
        """Rounded once more, to the dtype in which matrices are multiplied or results written."""
        error = self.error + rounding(self.value.abs(), dtype)
        return Rounded(self.value, error, self.dtype)

    def where(self, mask: Tensor) -> "Rounded":
        """0, exactly, where ``mask`` is false."""
        return Rounded(
            self.value.masked_fill(~mask, 0), self.error.masked_fill(~mask, 0), self.dtype
        )

    def reshaped(self, change: Callable[[Tensor], Tensor]) -> "Rounded":
        """The same numbers elsewhere: ``change`` moves, repeats or selects."""
        return Rounded(change(self.value), change(self.error.expand_as(self.value)), self.dtype)

    @property
    def mT(self) -> "Rounded":  # noqa: N802 (as of tensors)
        """Of the last two axes."""
        return self.reshaped(lambda t: t.mT)


def softmax(logits: Rounded, visible: Tensor) -> tuple[Rounded, Rounded]:
    """Probabilities (..., n) among the visible, and logsumexp (..., 1); both 0 if there are none.

    Errors that the logits share change no probability, and a winner but little. The rounding of
    logsumexp, which grows with the logits, is its own: a kernel that recomputes probabilities
    from it keeps what rounding left out. Errors of logits beyond 1 may turn any weight into 1.
    """
    unit = torch.finfo(logits.dtype).eps
    masked = logits.value.masked_fill(~visible, -torch.inf)
    value = masked.logsumexp(-1, keepdim=True).nan_to_num(neginf=0)
    below = (masked - value).masked_fill(~visible, 0)
    weights = below.exp().masked_fill(~visible, 0)
    carried = (weights * logits.error).sum(-1, keepdim=True)
    # Of exp and of the differences before it.
    rounded = unit * ((weights * below.abs()).sum(-1, keepdim=True) + 1)
    apart = logits.error * (1 - weights) + (carried - weights * logits.error)
    relative = apart + rounded + unit * below.abs()
    most = torch.maximum((below + relative).clamp(max=0).exp(), weights)
    error = torch.where(relative < 1, weights * relative.clamp(max=1).expm1(), most)
    error = error.masked_fill(~visible, 0)
    # Where the analysis itself finds 0, a small number may have been.
    lost = visible & (weights == 0)
    least = torch.finfo(logits.dtype).smallest_normal
    error = error + rounding(weights, logits.dtype) + least * lost.to(weights.dtype)
    of_lse = carried + rounded + unit * value.abs()
    lse = Rounded(value, of_lse, logits.dtype).where(visible.any(-1, keepdim=True))
    return Rounded(weights, error, logits.dtype), lse


def through_softmax(weights: Rounded, gradient: Rounded, mean: Rounded) -> Rounded:
    """Gradient of logits, ``weights * (gradient - mean)``; mean (..., 1): of gradient by weights.

    Where a softmax is nearly decided the bracket of the winner is a small difference, with the
    rounding errors of its large terms.
    """
    return weights * (gradient - mean)
