# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator

import pytest
import torch

from scam.testing import make_inputs, outcome


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


SIDES = [(2000, 40), (40, 2000)]  # pixels read latents, latents read pixels


@pytest.mark.parametrize(("queries", "keys"), SIDES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_fifty_repeats_are_equal_bit_for_bit(
    fused: str, queries: int, keys: int, dtype: torch.dtype
) -> None:
    if fused == "toy":
        pytest.skip("the toy is the reference's formula")
    inputs = make_inputs(queries=queries // 4, keys=keys // 4, width=32, dtype=dtype)
    first = outcome(inputs, backend=fused)
    for _ in range(50):
        torch.testing.assert_close(outcome(inputs, backend=fused), first, rtol=0, atol=0)


@pytest.mark.parametrize(("queries", "keys"), SIDES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.usefixtures("threads")
def test_threads_change_no_bit(fused: str, queries: int, keys: int, dtype: torch.dtype) -> None:
    if fused == "toy":
        pytest.skip("the toy runs on PyTorch's own matrix products")
    inputs = make_inputs(queries=queries, keys=keys, width=32, dtype=dtype)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(outcome(inputs, backend=fused))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=0)
