# SPDX-License-Identifier: Apache-2.0
"""How near the CPU kernels come to the machine: ``python benchmarks/roofline.py`` prints a table.

The roofline of a pass is the longer of two times: of a copy that moves as many bytes, half of them
read, half written, measured in the same rounds; and of its operations at the rate of a matrix
product. Where ``SCAM_CPU_ISA=avx2`` asks for another instruction set, the product must use it as
well: ``MKL_ENABLE_INSTRUCTIONS=AVX2``, or ``--gflops`` where that is ignored.

Passes reuse memory that was touched before. The last column is what touching a fresh output for
the first time costs, which any operator may have to pay on top.
"""

import argparse
import mmap
import os
import sys
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # before torch: see conftest.py
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from benchmarks import attention, machine, modulation
from benchmarks.cases import AttentionCase, ModulationCase
from benchmarks.timing import Call, Stopwatch, copying
from scam.ops.backends import cpu

CASES: tuple[AttentionCase | ModulationCase, ...] = (
    *(AttentionCase(num_labels=s) for s in (3, 19, 150)),
    AttentionCase(labels="noise"),
    ModulationCase(128, 128),
    ModulationCase(256, 64),
)


def calls(case: AttentionCase | ModulationCase) -> tuple[dict[str, Call], Tensor, list[int]]:
    """Forward, and forward and backward, of a case; its map; bytes and operations of both."""
    device = torch.device("cpu")
    if isinstance(case, AttentionCase):
        inputs = attention.make_inputs(case, device)
        work = attention.traffic(case, inputs)
        passes = [attention.timed(attention.ours, inputs, backward) for backward in (False, True)]
        one, pairs, more = inputs.query, 4, 10
    else:
        half = modulation.make_half(case, device)
        work = modulation.traffic(case, half)
        passes = [modulation.op_alone(half, backward) for backward in (False, True)]
        one, pairs, more = half.x, 6, 14
    flops = work["flops"]
    return (
        dict(zip(("forward", "both"), passes, strict=True)),
        one,
        [work["bytes"], work["backward_bytes"], flops, flops * more // pairs],
    )


def medians(contenders: dict[str, Call], budget_s: float) -> dict[str, float]:
    """Milliseconds of each, in rounds in which all have their turn."""
    calls = {name: [call] for name, call in contenders.items()}
    watch = Stopwatch(calls, torch.device("cpu"), budget_s=budget_s, fewest=7)
    for _ in range(watch.rounds):
        watch.round()
    return {name: 1e3 * t.median for name, t in watch.times(next(iter(calls))).items()}


def row(case: AttentionCase | ModulationCase, rate: float, budget_s: float) -> str:
    """Times of a case in milliseconds, and how many times its roofline they are."""
    passes, one, (read, back, flops, back_flops) = calls(case)
    copies = {"copy": copying(torch.ones(read // 8)), "copy back": copying(torch.ones(back // 8))}
    median = medians({**passes, **copies}, budget_s)
    touching = medians(
        {
            "there": torch.empty_like(one).zero_,
            "fresh": lambda: torch.frombuffer(mmap.mmap(-1, one.nbytes), dtype=one.dtype).zero_(),
        },
        budget_s / 8,
    )
    roof = max(median["copy"], 1e3 * flops / rate)
    back_roof = max(median["copy back"], 1e3 * back_flops / rate)
    backward = median["both"] - median["forward"]
    faults = touching["fresh"] - touching["there"]
    name = type(case).__name__.removesuffix("Case").lower()
    label = f"{name} {case.side} px, s={case.num_labels} {case.labels}"
    return (
        f"| {label} | {roof:.2f} | {median['forward']:.2f} | {median['forward'] / roof:.2f} "
        f"| {back_roof:.2f} | {backward:.2f} | {backward / back_roof:.2f} | {faults:.2f} |"
    )


def main() -> None:
    machine.keep_freed_memory()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gflops", type=float, help="rate of a matrix product, if not measured")
    parser.add_argument("--budget", type=float, default=2.0, metavar="S", help="seconds a case")
    arguments = parser.parse_args()
    rate = (
        arguments.gflops * 1e9
        if arguments.gflops
        else machine.multiply_rate(torch.device("cpu"), torch.float32)
    )
    print(f"{cpu.isa()}, {torch.get_num_threads()} threads, {rate / 1e9:.0f} GFLOP/s; ms\n")
    print("| case | roofline | forward | times | roofline | backward | times | fresh output |")
    print("| --- |" + " --- |" * 7)
    for case in CASES:
        print(row(case, rate, arguments.budget), flush=True)


if __name__ == "__main__":
    main()
