# SPDX-License-Identifier: Apache-2.0
"""How much error a kernel may make: measured against eager code, not guessed."""

import torch
from torch import Tensor


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
    assert actual.shape == exact.shape, f"{name}: shape {actual.shape}, expected {exact.shape}"
    assert actual.dtype == eager.dtype, f"{name}: {actual.dtype}, expected {eager.dtype}"
    if roundings is None:
        roundings = 256 if actual.dtype == torch.float64 else 4
    slack = roundings * torch.finfo(actual.dtype).eps
    actual, eager = actual.double(), eager.double()
    infinite = exact.isinf()
    assert torch.equal(actual[infinite], exact[infinite]), f"{name}: infinities differ"
    actual, eager, exact = (t.masked_fill(infinite, 0) for t in (actual, eager, exact))
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
        worst = tuple(
            int(i) for i in torch.unravel_index(error.nan_to_num(torch.inf).argmax(), error.shape)
        )
        raise AssertionError(
            f"{name}: {'; '.join(missed)}; worst at {worst}: "
            f"{float(actual[worst])!r}, expected {float(exact[worst])!r}"
        )


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
