# SPDX-License-Identifier: Apache-2.0
"""The same call gives the same bits."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def assert_repeats(
    outcome: Callable[..., Mapping[str, Tensor]], inputs: Any, backend: str, times: int = 1
) -> None:
    """``outcome`` of ``inputs`` equals itself to the bit, ``times`` times again."""
    first = outcome(inputs, backend=backend)
    for _ in range(times):
        for name, again in outcome(inputs, backend=backend).items():
            assert torch.equal(again, first[name]), name
