# SPDX-License-Identifier: Apache-2.0
"""The affine's kernels, compiled for GPUs that are not here: nothing spills, everything fits.

As ``test_triton_modulation_aot.py``, whose ``SCAM_TEST_TRITON=DIR`` is honoured here too.
"""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch

from scam.ops.affine_call import AffineCall
from scam.ops.backends import triton_affine as backend
from scam.testing import make_affine_inputs

sys.path.insert(0, str(Path(__file__).parent))
import aot

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)

# kernel: programs per multiprocessor that registers allow, kilobytes of shared memory of one
LIMITS = {"apply": (4, 16), "row_gradients": (3, 8), "add_pieces": (4, 4)}
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
USUAL = ((90, "bf16", 64, "channels_first"), (90, "bf16", 512, "channels_last"))
VARIANTS = [
    (target, dtype, channels, memory)
    for channels in (64, 512)
    for memory in ("channels_first", "channels_last")
    for dtype in DTYPES
    for target in (80, 90, 100)
]


def made_call(
    channels: int, memory: str, dtype: str, *, batch: int = 2, rows: int = 304
) -> AffineCall:
    given = make_affine_inputs(
        batch=batch, channels=channels, size=(32, 32), rows=rows, memory=memory,
        dtype=DTYPES[dtype],
    )  # fmt: skip
    flat = given.x.flatten(2), given.index.flatten(1)
    return AffineCall(*flat, given.scale, given.shift, given.mean, given.rstd, 0.2)


def compiled(variant: tuple[int, str, int, str]) -> list[aot.Compiled]:
    target, dtype, channels, memory = variant
    call = made_call(channels, memory, dtype)
    with aot.compiling(target) as found:
        backend.affine_backward(call, backend.affine_forward(call))
    return found


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(
            v, marks=[] if v in USUAL else [pytest.mark.exhaustive], id="sm_{}-{}-{}-{}".format(*v)
        )
        for v in VARIANTS
    ],
)
def test_compiles_within_limits(variant: tuple[int, str, int, str]) -> None:
    wrong = []
    kernels = compiled(variant)
    for made in kernels:
        programs, kilobytes = LIMITS[made.kernel]
        facts = (
            f"{made.kernel}: {made.registers} registers, stack {made.stack}, local {made.local}, "
            f"shared {made.shared}, {made.traps} traps"
        )
        print(facts)
        within = made.programs >= programs and made.shared <= kilobytes * 1024
        if made.stack or made.local or made.traps or not within:
            wrong.append(facts)
    assert not wrong, "\n".join(wrong)
    assert {made.kernel for made in kernels} == LIMITS.keys()


def test_batches_of_other_sizes_compile_nothing_anew() -> None:
    wanted = []
    for batch, rows in ((16, 304), (7, 304), (1, 301), (4, 1)):
        call = made_call(64, "channels_first", "bf16", batch=batch, rows=rows)
        with aot.wanting(90) as found:
            backend.affine_backward(call, backend.affine_forward(call))
        wanted.append(found)
    assert len(wanted[0]) >= len(LIMITS)
    assert all(found == wanted[0] for found in wanted), [len(found) for found in wanted]


@pytest.mark.skipif("SCAM_TEST_TRITON" not in os.environ, reason="SCAM_TEST_TRITON is not set")
def test_another_triton_compiles_the_same() -> None:
    aot.compile_with(Path(os.environ["SCAM_TEST_TRITON"]), __file__)
