# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.kernels``: our kernels alone, on the headline problems."""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import machine
from benchmarks.cases import SETTINGS
from benchmarks.headline import CASES, GIVEN, Case, Headline, draw, headline
from benchmarks.timing import Call, Stopwatch, copying
from scam.commandline import command
from scam.commandline.device import open_device

PROG = "python -m benchmarks.kernels"
EXAMPLES = """\
  python -m benchmarks.kernels time --backends triton cuda --out kernels.jsonl
      forward, backward alone, planning and the host's share, each as a line of JSON
  python -m benchmarks.kernels launches --backends triton --out kernels.jsonl
      what a call launches on a GPU, and how long each kernel takes
  python -m benchmarks.kernels warm --processes 14
      compile the Triton kernels that the others need
  ncu --profile-from-start off python -m benchmarks.kernels once --backends cuda
      one call of each headline kernel between the profiler's start and stop"""
WHAT = ("time", "launches", "once", "warm")
SMALL = 64
"""Side of the maps on which the host's work is timed: the device is never behind."""
HOST_CALLS = 20


class Results:
    """Rows, printed and written as they come."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def add(self, case: Case, backend: str, given: str, what: str, **facts: Any) -> None:
        row = {"case": case.id, "backend": backend, "given": given, "what": what, **facts}
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        shown = " ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in facts.items()
        )
        print(f"{case.id} {backend} {given} {what}: {shown}"[:300], flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Do one of ``WHAT``."""
    args = _parser().parse_args(argv)
    if args.what == "warm":
        from benchmarks.warm import warm

        warm(args.processes)
        return
    device = open_device(args.device)
    work = {"time": time_all, "launches": count_launches, "once": run_once}[args.what]
    work(args, device, Results(args.out))


def time_all(args: argparse.Namespace, device: torch.device, results: Results) -> None:
    """Time all cases; ``copy_share``: of the bandwidth of a copy, measured in this run."""
    bandwidth = machine.copy_bandwidth(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    where = {"gpu": name, "dtype": SETTINGS[device.type].dtype}
    for case in CASES:
        made = dict(_served(case, args.backends, device, results))
        moved = {
            (*key, what): getattr(made[key], size)
            for what, size in (("forward", "bytes"), ("backward", "backward_bytes"))
            for key in made
        }
        calls = {" ".join(key): [getattr(made[key[:2]], key[2])()] for key in moved}
        drawn = next(iter(made.values()), None)
        if drawn is None:
            continue
        calls["copy"] = [copying(drawn.leaves[0].detach())]
        watch = Stopwatch(calls, device, budget_s=args.budget)
        for _ in range(watch.rounds):
            watch.round()
        times = watch.times("copy")
        for (backend, given, what), size in moved.items():
            found = times[f"{backend} {given} {what}"]
            results.add(
                case, backend, given, what, seconds=found.median,
                copy_share=size / found.median / bandwidth, method=found.method, **where,
            )  # fmt: skip
        for backend, what in {(key[0], key[2]) for key in moved}:
            labels, layouts = (times[f"{backend} {given} {what}"].median for given in GIVEN)
            results.add(case, backend, "labels", f"plan of {what}", seconds=labels - layouts)
        small = replace(case, side=SMALL)
        for (backend, given), one in _served(small, args.backends, device, results):
            for what in ("forward", "backward"):
                seconds = _host_seconds(getattr(one, what)(), device)
                results.add(case, backend, given, f"host of {what}", seconds=seconds)


def _host_seconds(call: Call, device: torch.device) -> float:
    """Of one call, until it returns; the device is not waited for."""
    call()
    machine.synchronise(device)
    start = time.perf_counter()
    for _ in range(HOST_CALLS):
        call()
    seconds = (time.perf_counter() - start) / HOST_CALLS
    machine.synchronise(device)
    return seconds


def count_launches(args: argparse.Namespace, device: torch.device, results: Results) -> None:
    """Every kernel of a call as the profiler saw it: how often, and seconds in all."""
    activity = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    for case in CASES:
        for key, one in _served(case, args.backends, device, results):
            for what in ("forward", "backward"):
                call = getattr(one, what)()
                call()
                machine.synchronise(device)
                with profile(activities=[activity]) as seen:
                    call()
                    machine.synchronise(device)
                kernels = {
                    event.key[:80]: (event.count, event.self_device_time_total / 1e6)
                    for event in seen.key_averages()
                    if event.device_type.name != "CPU"
                }
                count = sum(count for count, _ in kernels.values())
                results.add(case, *key, f"launches of {what}", count=count, kernels=kernels)


def run_once(args: argparse.Namespace, device: torch.device, results: Results) -> None:
    """Forward and backward of the first case of each op, given layouts."""
    first = {type(case): case for case in reversed(CASES)}.values()
    calls: list[Callable[[], object]] = []
    for case in first:
        for (_, given), one in _served(case, args.backends, device, results):
            if given == "layouts":
                calls += [one.forward(), one.backward()]
    for call in calls:
        call()
    machine.synchronise(device)
    if device.type == "cuda":
        torch.cuda.profiler.start()
    for call in calls:
        call()
        machine.synchronise(device)
    if device.type == "cuda":
        torch.cuda.profiler.stop()


def _served(
    case: Case, backends: Sequence[str], device: torch.device, results: Results
) -> Iterator[tuple[tuple[str, str], Headline]]:
    """(backend, given) and the problem; a backend that refuses is a row of its own."""
    drawn = draw(case, device)
    for backend in backends:
        for given in GIVEN:
            one = headline(case, drawn, given, backend)
            try:
                one.forward()()
            except ValueError as error:
                results.add(case, backend, given, "refused", why=str(error))
                continue
            yield (backend, given), one


def _parser() -> command.Parser:
    parser = command.Parser(PROG, "Our kernels alone, on the headline problems.", EXAMPLES)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--backends", nargs="+", default=["triton", "cuda"], metavar="NAME")
    parser.add_argument("--device", default=None, help="default: a GPU if there is one")
    parser.add_argument("--out", type=Path, metavar="FILE", help="lines of JSON are added to it")
    parser.add_argument(
        "--budget", type=float, default=1.0, metavar="S", help="of a case's rounds"
    )
    parser.add_argument("--processes", type=int, default=14, metavar="N", help="of warm")
    return parser


if __name__ == "__main__":
    command.run(main, PROG)
