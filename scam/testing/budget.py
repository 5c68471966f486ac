# SPDX-License-Identifier: Apache-2.0
"""How much error a kernel may make: measured against eager code, not guessed."""

import torch
from torch import Tensor

ROUNDINGS = 8
"""Per step of a computation. A step may be a sum: n terms of equal sign, added one after another,
are off by about sqrt(n) / 6 eps, so that 8 do for all that a kernel adds in one go."""


def assert_within_budget(
    name: str, actual: Tensor, exact: Tensor, eager: Tensor, *, roundings: float | None = None
) -> None:
    """Bound an error by twice the error of eager code plus a few roundings.

    ``max|actual - exact| <= 2 * max|eager - exact| + roundings * eps * max|exact|``, the same for
    means; names that begin with ``grad`` are also held by their cosine with ``exact`` and by
    their signed bias along it. Infinities must agree exactly.

    Args:
        name: for the message.
        actual: what is judged; its dtype gives eps.
        exact: fp64 oracle.
        eager: the same maths by eager code in ``actual``'s dtype. Its error can be exactly 0
            (a label with one key), hence the roundings.
        roundings: default 4; 256 in fp64, where the oracle is no better than what it judges.

    Raises:
        AssertionError: with every bound that was missed and the worst index.
    """
    assert actual.dtype == eager.dtype, f"{name}: {actual.dtype}, expected {eager.dtype}"
    if roundings is None:
        roundings = 256 if actual.dtype == torch.float64 else 4
    slack = roundings * torch.finfo(actual.dtype).eps
    infinite = exact.isinf()
    actual, exact = _finite(name, actual, exact)
    eager = eager.double().masked_fill(infinite, 0)
    if not exact.numel():
        return
    error, allowed = (actual - exact).abs(), (eager - exact).abs()
    checks = {
        "max": (error.max(), 2 * allowed.max() + slack * exact.abs().max()),
        "mean": (error.mean(), 2 * allowed.mean() + slack * exact.abs().mean()),
    }
    if name.startswith("grad") and exact.any():
        checks |= _direction_checks(actual, exact, eager, slack)
    missed = [
        f"{what} {float(e):.3e} > {float(b):.3e}" for what, (e, b) in checks.items() if not e <= b
    ]
    if missed:
        worst = _worst(error)
        raise AssertionError(f"{name}: {'; '.join(missed)}; {_told(worst, actual, exact)}")


def assert_within_bound(name: str, actual: Tensor, exact: Tensor, bound: Tensor) -> float:
    """Bound each element's error by what rounding may do to it, whatever eager code does.

    ``|actual - exact| <= 8 * bound``, twice that in fp64, where the oracle rounds as well. And the
    error must not point along ``exact``, but for what random signs leave over: with the sums
    ``along = sum (actual - exact) * exact`` and ``size = sum 8 * bound * |exact|`` of each row,
    ``|sum along| <= sqrt(sum size**2)``. A row (last axis) may err as a whole, by a sum that all
    of it shares; of equal rows, which err alike, one is counted. Infinities must agree exactly.

    Args:
        name: for the message.
        actual: what is judged.
        exact: fp64 oracle.
        bound: fp64, of the same shape: the error of ``actual`` if each step rounds once, from
            :func:`scam.testing.attention_bounds` or :func:`scam.testing.modulation_bounds`.

    Returns:
        The largest part of its budget that an error takes, at most 1.

    Raises:
        AssertionError: with the bound that was missed and the worst index.
    """
    roundings = 2 * ROUNDINGS if actual.dtype == torch.float64 else ROUNDINGS
    actual, exact = _finite(name, actual, exact)
    if not exact.numel():
        return 0.0
    error, allowed = (actual - exact).abs(), roundings * bound
    # Where no rounding can happen, such as a softmax over one token, any error is too large.
    parts = torch.where(error == 0, 0, error / allowed)
    worst = _worst(parts)
    found, most = float(error[worst]), float(allowed[worst])
    assert parts[worst] <= 1, f"{name}: {found:.3e} > {most:.3e}; {_told(worst, actual, exact)}"
    signed, size = ((actual - exact) * exact).sum(-1), (allowed * exact.abs()).sum(-1)
    once = _first_of_equals(size)
    along, most = float(signed.flatten()[once].sum().abs()), float(size.flatten()[once].norm())
    assert along <= most, f"{name}: signed bias {along:.3e} > {most:.3e}"
    return max(float(parts[worst]), along / most if most else 0.0)


def _finite(name: str, actual: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
    """Both in fp64, with 0 for the infinities, in which they must agree."""
    assert actual.shape == exact.shape, f"{name}: shape {actual.shape}, expected {exact.shape}"
    actual, infinite = actual.double(), exact.isinf()
    assert torch.equal(actual[infinite], exact[infinite]), f"{name}: infinities differ"
    return actual.masked_fill(infinite, 0), exact.masked_fill(infinite, 0)


def _first_of_equals(numbers: Tensor) -> Tensor:
    """Indices into the flat numbers, one of all that are equal in fp32."""
    ordered, index = numbers.flatten().float().sort(stable=True)
    return index[torch.cat((ordered.new_ones(1, dtype=torch.bool), ordered.diff() != 0))]


def _worst(error: Tensor) -> tuple[int, ...]:
    flat = error.nan_to_num(torch.inf).argmax()
    return tuple(int(i) for i in torch.unravel_index(flat, error.shape))


def _told(worst: tuple[int, ...], actual: Tensor, exact: Tensor) -> str:
    found, expected = float(actual[worst]), float(exact[worst])
    return f"worst at {worst}: {found!r}, expected {expected!r}"


def _direction_checks(
    actual: Tensor, exact: Tensor, eager: Tensor, slack: float
) -> dict[str, tuple[Tensor, Tensor]]:
    """Cosine: 1 - cos is half the squared relative error. Bias: the error's part along exact."""
    norm = exact.norm()
    relative = 2 * (eager - exact).norm() / norm + slack
    one_minus_cosine = 1 - (actual * exact).sum() / (actual.norm() * norm)
    bias = ((actual - exact) * exact).sum() / norm**2
    eager_bias = ((eager - exact) * exact).sum() / norm**2
    round_off = 64 * torch.finfo(torch.float64).eps
    return {
        "1 - cosine": (one_minus_cosine, relative**2 + round_off),
        "signed bias": (bias.abs(), 2 * eager_bias.abs() + slack),
    }
