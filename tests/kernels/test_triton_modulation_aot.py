# SPDX-License-Identifier: Apache-2.0
"""The modulation's kernels, compiled for GPUs that are not here: nothing spills, everything fits.

Launches for labels with more tokens than columns (``MANY``), rarely busy, may spill a little.

With ``SCAM_TEST_TRITON=DIR`` the same is done with the Triton in DIR, put there by
``pip install --target DIR triton==3.6.0``.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from scam.ops import SemanticLayout
from scam.ops.backends import triton_modulation as backend
from scam.ops.backends import triton_plan
from scam.ops.modulation_call import ModulationCall
from scam.testing import make_modulation_inputs

sys.path.insert(0, str(Path(__file__).parent))
import aot

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)


class Limit(NamedTuple):
    """Programs per multiprocessor that registers allow, and kilobytes of shared memory of one; as
    in ``test_triton_aot.py``."""

    programs: int
    shared: int


MANY_STACK = 96  # bytes of a thread: 88 on sm_80, 128 channels in bf16
EIGHT_HEADS_STACK = 80


LIMITS = {
    "measure": Limit(4, 8),
    "combine": Limit(4, 4),
    "modulate": Limit(1, 64),
    "token_gradients": Limit(1, 96),
    "add_tokens": Limit(4, 4),
    "add_channels": Limit(4, 16),
    "cut": Limit(4, 16),
    "split": Limit(4, 16),
    "input_gradient": Limit(1, 96),
    "subtract_means": Limit(4, 4),
}
MULTIPLIES = {"modulate", "token_gradients", "input_gradient"}
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
LABELS = 19
USUAL = ((90, "bf16", 64, "channels_first"), (90, "bf16", 512, "channels_first"))
VARIANTS = [
    (target, dtype, channels, memory)
    for channels in (64, 128, 512)
    for memory in ("channels_first", "channels_last")
    for dtype in DTYPES
    for target in (80, 90, 100)
]


def compiled(
    variant: tuple[int, str, int, str], monkeypatch: pytest.MonkeyPatch, **sizes: int
) -> list[tuple[bool, aot.Compiled]]:
    """Every kernel of forward and backward, as launched, and whether with ``MANY``."""
    target, dtype, channels, memory = variant
    many: list[bool] = []
    launch = backend.launch

    def noting(kernel: Any, programs: int, *args: Any, **options: Any) -> None:
        many.append(options.get("MANY", False))
        launch(kernel, programs, *args, **options)

    monkeypatch.setattr(triton_plan, "available", lambda tensor: True)
    for user in (backend, triton_plan):
        monkeypatch.setattr(user, "launch", noting)
    call = made_call(channels, memory, dtype, **sizes)
    with aot.compiling(target) as found:
        y, *statistics = backend.modulation_forward(call)
        backend.modulation_backward(call, torch.empty_like(y), *statistics)
    return list(zip(many, found, strict=True))


def made_call(
    channels: int, memory: str, dtype: str, size: tuple[int, int] = (32, 32), **sizes: int
) -> ModulationCall:
    """A call with layouts on both sides, and all that is optional."""
    given = make_modulation_inputs(
        channels=channels, size=size, num_labels=LABELS, memory=memory, dtype=DTYPES[dtype],
        **{"tokens": 8 * LABELS, **sizes},
    )  # fmt: skip
    assert isinstance(given.labels, torch.Tensor)
    assert isinstance(given.token_labels, torch.Tensor)
    pixels = SemanticLayout.build(given.labels, LABELS)
    tokens = SemanticLayout.build(given.token_labels, LABELS)
    layout = (pixels.order, pixels.offsets, tokens.order, tokens.offsets)
    position, default_gamma, default_beta, noise, noise_scale = (
        given.position, given.default_gamma, given.default_beta, given.noise, given.noise_scale
    )  # fmt: skip
    assert position is not None
    assert default_gamma is not None
    assert noise is not None
    return ModulationCall(
        given.x.flatten(2), pixels.labels, given.keys, given.key_bias, given.gamma, given.beta,
        tokens.labels, position.flatten(1), default_gamma.expand(len(given.x), -1), default_beta,
        noise.flatten(1), noise_scale, layout, 1e-5, 0.2,
    )  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("channels", [64, 128, 256])
@pytest.mark.parametrize("target", [86, 90])
def test_eight_heads_compile_within_limits(
    target: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = target, "bf16", channels, "channels_first"
    for many, made in compiled(variant, monkeypatch, heads=8):
        print(many, made.kernel, made.registers, made.stack, made.shared)
        assert made.local == made.traps == 0
        assert many or made.stack <= EIGHT_HEADS_STACK
        assert made.shared <= aot.SHARED_LIMITS[target]


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(
            v, marks=[] if v in USUAL else [pytest.mark.exhaustive], id="sm_{}-{}-{}-{}".format(*v)
        )
        for v in VARIANTS
    ],
)
def test_compiles_within_limits(
    variant: tuple[int, str, int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target, dtype, _, _ = variant
    wrong = []
    kernels = compiled(variant, monkeypatch)
    for many, made in kernels:
        limit = LIMITS[made.kernel]
        facts = (
            f"{made.kernel}{' MANY' * many}: {made.registers} registers, stack {made.stack}, "
            f"shared {made.shared}, {made.products} tensor core products, {made.traps} traps"
        )
        print(facts)
        fine = (
            made.local == made.traps == 0
            and made.stack <= (MANY_STACK if many else 0)
            and made.programs >= limit.programs
            and made.shared <= min(limit.shared * 1024, aot.SHARED_LIMITS[target])
            and (made.products > 0) == (made.kernel in MULTIPLIES and dtype == "bf16")
        )
        if not fine:
            wrong.append(facts)
    assert not wrong, "\n".join(wrong)
    assert {made.kernel for _, made in kernels} == LIMITS.keys()


def test_batches_of_other_sizes_compile_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_plan, "available", lambda tensor: True)
    wanted = []
    for batch, tokens in ((16, 152), (12, 152), (7, 152), (1, 152), (4, 147)):
        call = made_call(64, "channels_first", "bf16", (62, 64), batch=batch, tokens=tokens)
        with aot.wanting(90) as found:
            y, *statistics = backend.modulation_forward(call)
            backend.modulation_backward(call, torch.empty_like(y), *statistics)
        wanted.append(found)
    assert len(wanted[0]) > len(LIMITS)
    assert all(found == wanted[0] for found in wanted)


@pytest.mark.skipif("SCAM_TEST_TRITON" not in os.environ, reason="SCAM_TEST_TRITON is not set")
def test_another_triton_compiles_the_same() -> None:
    aot.compile_with(Path(os.environ["SCAM_TEST_TRITON"]), __file__)
