# SPDX-License-Identifier: Apache-2.0
"""The helpers must be able to fail."""

from dataclasses import replace

import pytest
import torch

from scam.testing import MEMORY, assert_within_budget, lay_out, make_inputs, poisoned_memory
from scam.testing.modulation import away_from_kink, make_modulation_inputs

EXACT = torch.linspace(-1, 1, 1000, dtype=torch.float64) ** 3
EAGER = EXACT.float() + 1e-5 * torch.sin(torch.arange(1000))


def judge(actual: torch.Tensor, name: str = "out", eager: torch.Tensor = EAGER) -> None:
    assert_within_budget(name, actual, EXACT, eager)


def test_twice_the_error_of_eager_passes() -> None:
    judge((EXACT + 1.9 * (EAGER.double() - EXACT)).float())


def test_three_times_does_not() -> None:
    with pytest.raises(AssertionError, match=r"out: max .* > .*; mean .*; worst at \("):
        judge((EXACT + 3 * (EAGER.double() - EXACT)).float())


def test_one_wrong_element_is_found_and_named() -> None:
    actual = EAGER.clone()
    actual[417] += 1e-3
    with pytest.raises(AssertionError, match=r"worst at \(417,\)"):
        judge(actual)


def test_nan_never_passes() -> None:
    actual = EAGER.clone()
    actual[3] = torch.nan
    for name in ("out", "grad_key"):
        with pytest.raises(AssertionError, match=r"worst at \(3,\): nan"):
            judge(actual, name)


def test_infinities_must_agree() -> None:
    exact, actual = EXACT.clone(), EAGER.clone()
    exact[0] = -torch.inf
    with pytest.raises(AssertionError, match="infinities differ"):
        assert_within_budget("lse", actual, exact, actual)
    actual[0] = -torch.inf
    assert_within_budget("lse", actual, exact, actual)
    actual[1] = torch.inf
    with pytest.raises(AssertionError, match="max inf"):
        assert_within_budget("lse", actual, exact, EAGER)


def test_a_few_roundings_pass_where_eager_is_exact() -> None:
    eager = EXACT.float()
    judge(eager * (1 + 2**-23), eager=eager)
    with pytest.raises(AssertionError):
        judge(eager * (1 + 2**-19), eager=eager)


def test_a_gradient_that_is_a_little_too_long_is_biased() -> None:
    """Within the bounds on max and mean, and in the same direction as the oracle."""
    noise = torch.sin(7.0 * torch.arange(1000)).double()
    eager = (EXACT + 1e-3 * noise).float()
    longer = (EXACT * (1 + 1.5e-3)).float()
    judge(longer, "out", eager)
    with pytest.raises(AssertionError, match="signed bias"):
        judge(longer, "grad_key", eager)


def test_a_gradient_that_points_elsewhere_fails() -> None:
    with pytest.raises(AssertionError, match="1 - cosine"):
        judge(-EAGER, "grad_key")
    with pytest.raises(AssertionError, match="1 - cosine"):
        judge(torch.zeros(1000), "grad_key")


def test_shapes_and_dtypes_are_part_of_the_result() -> None:
    with pytest.raises(AssertionError, match="out: shape"):
        judge(EAGER[:-1])
    with pytest.raises(AssertionError, match=r"out: torch.bfloat16, expected torch.float32"):
        judge(EAGER.bfloat16())


def test_poison_fills_what_nobody_wrote() -> None:
    like = torch.zeros(3)
    with poisoned_memory():
        for made in (torch.empty(3), torch.empty_like(like), like.new_empty(3)):
            assert made.isnan().all()
        assert torch.empty(2, dtype=torch.int32).max() > 10**9
        assert torch.empty_strided((2, 2), (1, 2)).isnan().all()
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_operator_that_forgets_a_row_is_caught() -> None:
    library = torch.library.Library("scam_test_poison", "FRAGMENT")
    library.define("forgetful(Tensor x) -> Tensor")

    def forgetful(x: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        out[:-1] = x[:-1]
        return out

    library.impl("forgetful", forgetful, "CPU")
    with poisoned_memory():
        out = torch.ops.scam_test_poison.forgetful(torch.ones(4))
    assert out.isnan().tolist() == [False, False, False, True]


def test_inputs_repeat_and_cover_the_odd_cases() -> None:
    first, again, other = make_inputs(), make_inputs(), make_inputs(seed=1)
    assert torch.equal(first.query, again.query)
    assert not torch.equal(first.query, other.query)
    assert first.query_labels.min() == -1
    assert not set(first.key_labels.unique().tolist()) >= set(first.query_labels.unique().tolist())


def test_layouts_in_memory() -> None:
    tensor = torch.randn(2, 3, 5, 4)
    for memory in MEMORY:
        if memory != "expanded":
            assert torch.equal(lay_out(tensor, memory), tensor)
    assert lay_out(tensor, "channels_first").stride()[2] == 1
    assert lay_out(tensor, "expanded").stride()[0] == 0
    with pytest.raises(ValueError, match="got 'sideways'"):
        lay_out(tensor, "sideways")


def test_only_pixels_at_the_kink_are_left_out() -> None:
    inputs = make_modulation_inputs(extras=False, size=(8, 8))
    x = torch.zeros_like(inputs.x)  # normalised: 0, so that what is left is the shift
    beta = torch.where(torch.arange(16) < 8, 1e-6, -1e-4).expand_as(inputs.beta)
    sees = (inputs.labels >= 0) & (inputs.labels < 4)
    found = away_from_kink(replace(inputs, x=x, beta=beta, token_labels=torch.arange(24) % 4))
    assert not found[:, :8].any()
    assert torch.equal(found[:, 8:], sees[:, None].expand(-1, 8, -1, -1))
