# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from scam.data.convert import to_uint8
from scam.data.subset import evenly
from scam.errors import InputError


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rounded_as_a_saved_picture(dtype: torch.dtype) -> None:
    values = torch.tensor([-1.0, -0.999, 0.0, 1.0, 1.5], dtype=dtype)
    assert to_uint8(values).tolist() == [0, 0, 128, 255, 255]
    for odd in (math.nan, math.inf, -math.inf):
        with pytest.raises(InputError, match="a generated image holds values that are not fin"):
            to_uint8(torch.tensor([0.0, odd], dtype=dtype))


def test_every_level_comes_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(levels.float() / 127.5 - 1), levels)


def test_some_are_spread_over_all() -> None:
    assert evenly(10, 4) == [0, 2, 5, 7]
    assert evenly(3, 5) == evenly(3, 3) == [0, 1, 2]
    assert evenly(0, 5) == evenly(5, 0) == []
