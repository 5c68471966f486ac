# SPDX-License-Identifier: Apache-2.0
"""Helpers for tests and benchmarks of the ops: inputs, an fp64 oracle, error bounds, poison."""

from scam.testing.affine import (
    AffineInputs,
    affine_outcome,
    assert_affine_matches_oracle,
    make_affine_inputs,
)
from scam.testing.attention import (
    MEMORY,
    Inputs,
    assert_matches_oracle,
    lay_out,
    make_inputs,
    outcome,
)
from scam.testing.bounds import (
    assert_attention_within_bounds,
    assert_modulation_within_bounds,
    attention_bounds,
    modulation_bounds,
)
from scam.testing.budget import assert_within_bound, assert_within_budget
from scam.testing.maps import MAPS
from scam.testing.modulation import (
    ModulationInputs,
    assert_modulation_matches_oracle,
    away_from_kink,
    make_modulation_inputs,
    modulation_outcome,
)
from scam.testing.poison import poisoned_memory

__all__ = [
    "MAPS",
    "MEMORY",
    "AffineInputs",
    "Inputs",
    "ModulationInputs",
    "affine_outcome",
    "assert_affine_matches_oracle",
    "assert_attention_within_bounds",
    "assert_matches_oracle",
    "assert_modulation_matches_oracle",
    "assert_modulation_within_bounds",
    "assert_within_bound",
    "assert_within_budget",
    "attention_bounds",
    "away_from_kink",
    "lay_out",
    "make_affine_inputs",
    "make_inputs",
    "make_modulation_inputs",
    "modulation_bounds",
    "modulation_outcome",
    "outcome",
    "poisoned_memory",
]
