# SPDX-License-Identifier: Apache-2.0
"""The attention kernels, compiled for GPUs that are not here: nothing spills, everything fits.

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
from scam.ops.attention_call import AttentionCall
from scam.ops.backends import triton as backend
from scam.ops.backends import triton_plan

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
sys.path.insert(0, str(Path(__file__).parent))
import aot  # noqa: E402


class Limit(NamedTuple):
    """Programs per multiprocessor that registers allow, and kilobytes of shared memory of one.

    Seen to hold with Triton 3.6, 3.8 and 3.9. No spills, no traps, tensor cores and the memory
    that a GPU has are not numbers of one compiler: they hold for every version.
    """

    programs: int
    shared: int


LIMITS = {
    "queries.forward": Limit(1, 66),
    "queries.backward": Limit(1, 80),
    "keys.forward": Limit(1, 80),
    "keys.backward": Limit(1, 80),
    "keys.combine": Limit(4, 4),
    "sums.add_pieces": Limit(4, 4),
    "sums.add_tiles": Limit(4, 16),
    "plan.cut": Limit(4, 4),
    "plan.split": Limit(4, 4),
    "sort.rank": Limit(2, 4),
    "sort.count": Limit(4, 4),
    "sort.place": Limit(2, 8),
}
WIDE = LIMITS | {"keys.backward": Limit(1, 99)}  # one program, whether of 81 KB or of 99
FEW_BYTES = 64  # of stack, beside the registers: they do not show
RARE = {"sums.add_tiles"}
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
USUAL = ((90, "bf16", 64), (86, "bf16", 512))
VARIANTS = [(a, d, w) for w in (64, 128, 256) for d in DTYPES for a in (80, 90, 100)]
VARIANTS += [(86, "bf16", 512), (89, "bf16", 256)]


def compiled(
    target: int, dtype: str, width: int, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> list[tuple[str, aot.Compiled]]:
    """Every kernel of forward and backward in both directions, as launched."""
    monkeypatch.setattr(backend, "_tuned_for", lambda _: divmod(target, 10))
    names: list[str] = []
    launch = backend.launch

    def named(kernel: object, programs: int, *args: object, **options: object) -> None:
        module, name = kernel.fn.__module__, kernel.fn.__name__  # type: ignore[attr-defined]
        names.append(f"{module.rpartition('.')[2]}.{name}")
        launch(kernel, programs, *args, **options)  # type: ignore[arg-type]

    for user in (backend, triton_plan):
        monkeypatch.setattr(user, "launch", named)
    monkeypatch.setattr(triton_plan, "available", lambda tensor: True)
    with aot.compiling(target) as found:
        call_all(DTYPES[dtype], width, **options)
    return list(zip(names, found, strict=True))


def call_all(
    dtype: torch.dtype,
    width: int,
    *,
    batch: int = 2,
    pixels: int = 512,
    latents: int = 24,
    empty: str = "zero",
    all_at_hand: bool = False,
    channels_first: bool = False,
) -> None:
    """Forward and backward in both directions.

    ``all_at_hand``: with layouts, and keys that are the values; ``channels_first``: of pixels.
    """
    for queries, keys in ((pixels, latents), (latents, pixels)):
        query, key = (
            torch.zeros(batch, 1, width, n, dtype=dtype).mT
            if channels_first and n == pixels
            else torch.zeros(batch, 1, n, width, dtype=dtype)
            for n in (queries, keys)
        )
        labels = [torch.zeros(batch, n, dtype=torch.int32) for n in (queries, keys)]
        layouts: list[torch.Tensor | None] = [None] * 4
        if all_at_hand:
            built = [SemanticLayout.build(side, 19) for side in labels]
            layouts = [t for layout in built for t in (layout.order, layout.offsets)]
        value = None if all_at_hand else key.clone()
        call = AttentionCall(query, key, value, *labels, tuple(layouts), 0.1, empty)
        out, *statistics = backend.forward(call)
        backend.backward(call, out, statistics[0], out, *statistics)


@pytest.mark.parametrize(
    ("target", "dtype", "width"),
    [
        pytest.param(
            *v, marks=[] if v in USUAL else [pytest.mark.exhaustive], id="sm_{}-{}-{}".format(*v)
        )
        for v in VARIANTS
    ],
)
def test_compiles_within_limits(
    target: int, dtype: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = compiled(target, dtype, width, monkeypatch)
    if width > 256:
        check(kernels, target, dtype, WIDE, FEW_BYTES)
    else:
        # fp32 products are made in registers.
        check(kernels, target, dtype, stack=0 if dtype == "bf16" else FEW_BYTES)
    assert {name for name, _ in kernels} == LIMITS.keys() - RARE


@pytest.mark.exhaustive
@pytest.mark.parametrize("width", [64, 128, 256])
@pytest.mark.parametrize("target", [86, 90])
def test_maps_with_channels_first_compile_within_limits(
    target: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = compiled(target, "bf16", width, monkeypatch, channels_first=True)
    check(kernels, target, "bf16", stack=384 if width > 128 else FEW_BYTES)


def test_programs_that_take_several_rows_compile_within_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(triton_plan, "PROGRAMS", 1)
    monkeypatch.setattr(triton_plan, "LOOSE", 0)
    check(compiled(90, "bf16", 256, monkeypatch), 90, "bf16", stack=FEW_BYTES)


@pytest.mark.parametrize("all_at_hand", [True, False])
def test_batches_of_other_sizes_compile_nothing_anew(
    all_at_hand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_plan, "available", lambda tensor: True)
    wanted = []
    for batch, latents in ((8, 24), (5, 24), (1, 24), (4, 31)):
        with aot.wanting(90) as found:
            call_all(torch.bfloat16, 64, batch=batch, latents=latents, all_at_hand=all_at_hand)
        wanted.append(found)
    assert wanted[0]
    assert all(found == wanted[0] for found in wanted)


SORTED = [(torch.uint8, 24), (torch.int64, 24), (torch.int64, 1200), (torch.int64, 4095)]


@pytest.mark.parametrize(("dtype", "latents"), SORTED, ids=str)
def test_sorting_spills_nothing(
    dtype: torch.dtype, latents: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_plan, "available", lambda tensor: True)
    wide, narrow = (torch.zeros(2, items, dtype=dtype) for items in (1 << 16, latents))
    with aot.compiling(90) as found:
        triton_plan.sort_sides((wide, (None, None)), (narrow, (None, None)))
    unknown = [] if dtype == torch.uint8 else ["rank"]
    assert [made.kernel for made in found] == [*unknown, "count", "scan", "place"]
    for made in found:
        assert made.stack == made.local == made.traps == 0
        assert made.programs >= 1


@pytest.mark.exhaustive
def test_the_rest_compiles_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are the values, the mean of all values, plans out of layouts."""
    kernels = compiled(90, "bf16", 64, monkeypatch, empty="uniform", all_at_hand=True)
    check(kernels, 90, "bf16")
    names = {name for name, _ in kernels}
    assert names == {name for name in LIMITS if not name.startswith("sort.")}


def check(
    kernels: list[tuple[str, aot.Compiled]],
    target: int,
    dtype: str,
    limits: dict[str, Limit] = LIMITS,
    stack: int = 0,
) -> None:
    """``stack``: the most bytes of a thread; of second launches, which few problems need, a few
    may be on it in any case."""
    wrong = []
    for name, made in kernels:
        limit = limits[name]
        facts = f"{name}: {made.registers} registers, stack {made.stack}, shared {made.shared}"
        print(facts)
        multiplies = name.endswith(("forward", "backward"))
        most = max(stack, FEW_BYTES) if made.options.get("MANY") else stack
        fine = (
            made.stack <= most
            and made.local == made.traps == 0
            and made.programs >= limit.programs
            and made.shared <= min(limit.shared * 1024, aot.SHARED_LIMITS[target])
            and (made.products > 0) == (multiplies and dtype == "bf16")
        )
        if not fine:
            wrong.append(f"{facts}, {made.products} tensor core products, {made.traps} traps")
    assert not wrong, "\n".join(wrong)


@pytest.mark.skipif("SCAM_TEST_TRITON" not in os.environ, reason="SCAM_TEST_TRITON is not set")
def test_another_triton_compiles_the_same() -> None:
    aot.compile_with(Path(os.environ["SCAM_TEST_TRITON"]), __file__)
