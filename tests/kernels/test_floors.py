# SPDX-License-Identifier: Apache-2.0
"""No kernel issues more, holds more or is launched more often than ``floors.csv`` says."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import floors
import sass
from issued import Sizes, issued

FIRST = (floors.headline.CASES[0], floors.headline.CASES[4])
AGAIN = 1.02
"""What the estimate may rise by, since a compiler schedules nearly the same in several ways."""

SOURCE = """\
SCA_DEVICE void copy_async(void* shared) {
  one;
}
SCA_DEVICE void fill(int pixels) {
  for (;;) two;
}
SCA_KERNEL(128, 4) pixels_read(Params p) {
  three;
}
"""
CODE = """\
	//## File "{file}", line 8
        /*0000*/                   MOV R1, R2 ;
.L_x_1:
	//## File "{file}", line 2 inlined at "{file}", line 5
	//## File "{file}", line 5 inlined at "{file}", line 8
	//## File "{file}", line 8
        /*0010*/                   LDGSTS [R1], [R2] ;
        /*0020*/                   LDGSTS [R1], [R2] ;
        /*0030*/                   IADD3 R1, R1, 0x1, RZ ;
        /*0040*/              @!P0 BRA `(.L_x_1) ;
	//## File "{file}", line 2 inlined at "{file}", line 5
	//## File "{file}", line 5 inlined at "{file}", line 8
	//## File "{file}", line 8
        /*0050*/                   LDGSTS [R1], [R2] ;
        /*0060*/                   EXIT ;
.L_x_2:
        /*0070*/                   BRA `(.L_x_2) ;
"""


def test_instructions_of_loops_count_as_often_as_they_run(tmp_path: Path) -> None:
    file = tmp_path / "kernel.cuh"
    file.write_text(SOURCE)
    code = sass._nested(CODE.format(file=file))
    assert [one.opcode for one in code.own] == ["MOV", "LDGSTS", "EXIT"]
    (loop,) = code.inner
    assert len(loop.own) == 4
    assert loop.own[0].inlined == "<copy_async<fill<pixels_read<"
    sizes = Sizes(channels=64, pixels=64, warps=2, rounds=1, parts=1)
    assert issued(code, sizes) == 3 + 4 * 4  # eight copies by each thread, two in one trip


ONE_LABEL = {"warps": 4, "parts": 1}
FORWARD = {"pixels": 64, "rounds": 1}
GATHERING = {"pixels": 32, "rounds": 8, "share": 0.5}


@pytest.mark.parametrize(
    ("kernel", "sizes", "products"),
    [
        ("pixels_read", {"channels": 256, **FORWARD}, 16 + 16 * 2),
        ("attention_gradients", {"channels": 256, **GATHERING}, 8 * ((16 * 4) / 2 + 4 * 2 * 2)),
        ("modulate", {"channels": 128, **FORWARD}, 8 * (2 + 4)),
        (
            "modulation_gradients",
            {"channels": 128, **GATHERING},
            8 * (8 * (2 + 4 + 2 + 4) / 2 + 2 * 2 * 6),
        ),
    ],
)
def test_products_of_cuda_kernels_are_as_many_as_their_sources_say(
    kernel: str, sizes: dict[str, float], products: float
) -> None:
    """Of a warp whose 16 pixels have one label of 8 tokens: a check of the trips of loops."""
    why = floors.launched.why_not("cuda")
    if why:
        pytest.skip(why)
    last = "Lb1E" if sizes["channels"] == 256 else "Lb0E"
    several = "Lb1E" if kernel == "attention_gradients" else ""  # whether pixels read
    (code,) = (
        code
        for name, (code, _) in floors.launched.cuda_code().items()
        if f"{kernel}I13__nv_bfloat16{last}{several}E" in name
    )
    found = issued(code, Sizes(**sizes, **ONE_LABEL), "HMMA")  # type: ignore[arg-type]
    assert products <= found <= 1.2 * products


@pytest.mark.parametrize("backend", floors.BACKENDS)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if case in FIRST else [pytest.mark.exhaustive], id=case.id)
        for case in floors.headline.CASES
    ],
)
def test_nothing_rises(case: floors.headline.Case, backend: str) -> None:
    why = floors.launched.why_not(backend)
    if why:
        pytest.skip(why)
    limits, compiler = floors.read(), floors.compiler(backend)
    made_by = {limit.compiler for limit in limits.values() if limit.backend == backend}
    if made_by != {compiler}:
        pytest.skip(f"the table is of {', '.join(made_by)}, this is {compiler}")
    for found in floors.floors(case, backend):
        limit = limits[found.key]
        assert found.launches <= limit.launches, found
        assert found.launches_given_labels <= limit.launches_given_labels, found
        assert found.issue_us <= AGAIN * limit.issue_us, found
        if found.kernel == limit.kernel:
            assert found.registers <= limit.registers, found
            assert found.shared_kb <= limit.shared_kb, found
        assert found.warps_per_sm >= limit.warps_per_sm or found.kernel != limit.kernel, found
