# SPDX-License-Identifier: Apache-2.0
"""One seed for every test; hypothesis repeats the same examples unless told otherwise."""

import hypothesis
import pytest
import torch

common = {"deadline": None, "print_blob": True}
hypothesis.settings.register_profile("ci", max_examples=40, derandomize=True, **common)
hypothesis.settings.register_profile("nightly", max_examples=3000, **common)
hypothesis.settings.load_profile("ci")  # --hypothesis-profile=nightly looks further


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
