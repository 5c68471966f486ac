# SPDX-License-Identifier: Apache-2.0
"""``python benchmarks/fuzz.py``: random problems of both ops, one backend against the oracle."""

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: its folder is on the path in place of the checkout
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from scam.commandline import command
from scam.commandline.device import open_device
from scam.errors import InputError

PROG = "python benchmarks/fuzz.py"
EXAMPLES = """\
  python benchmarks/fuzz.py --backend cpu --problems 10000 --seed 1
      forward and gradients of both ops against fp64
  python benchmarks/fuzz.py --backend cpu --seed 1 --only 4711
      one of these problems again, with its traceback
  compute-sanitizer python benchmarks/fuzz.py --backend cuda --run-only --problems 60
      run without comparing: what the oracle does is not of interest then"""

OPS = ("attention", "modulation")
WIDTHS = (1, 2, 3, 5, 8, 16, 31, 43, 64, 96, 128, 256, 300)
REACHES = (None, None, None, 60.0, 600.0, 6e3, 1e5)
"""Largest logits; None: as they come, a few."""
_REFUSED = "cannot serve this call"


def main(argv: Sequence[str] | None = None) -> None:
    """Run problems until none, or no time or patience with failures is left; 1 on failures."""
    args = _parser().parse_args(argv)
    import torch

    from scam.ops import backend_names

    if args.backend not in backend_names():
        known = ", ".join(backend_names())
        raise InputError(f"--backend {args.backend}: expected one of {known}")
    torch.set_num_threads(max(1, args.threads))
    # Fractions drawn with IEEE products are compared: TF32 would miss every fp32 budget.
    torch.backends.cuda.matmul.allow_tf32 = False
    device = open_device(args.device)
    numbers = range(args.problems) if args.only is None else [args.only]
    ended = Run(args, device.type).through(numbers)
    print(ended.summary())
    if ended.failures:
        sys.exit(1)


class Run:
    """The state of one run: what was done, refused, and what failed."""

    def __init__(self, args: Any, device: str) -> None:
        self.args = args
        self.device = device
        self.problems = self.done = 0
        self.failures = 0
        self.largest = (0.0, 0)  # part of its budget that an error took, and of which problem
        self.refused: Counter[str] = Counter()
        self.start = time.monotonic()

    def through(self, numbers: Sequence[int]) -> "Run":
        """Work off problems by number, with a line of progress every few seconds."""
        spoke = self.start
        self.problems = len(numbers)
        for number in numbers:
            self._one(number)
            now = time.monotonic()
            if now - spoke > self.args.every:
                print(self.summary(), flush=True)
                spoke = now
            if self.failures >= self.args.max_failures or now - self.start > self.args.time_limit:
                break
        return self

    def summary(self) -> str:
        """What was done so far, in one line."""
        seconds = time.monotonic() - self.start
        refused = "".join(f"; {count} refused: {why}" for why, count in self.refused.items())
        part, number = self.largest
        largest = f"; largest error {part:.2f} of its budget, problem {number}" if part else ""
        return (
            f"{self.args.backend} on {self.device}: {self.done} of {self.problems} problems, "
            f"{self.failures} failed, seed {self.args.seed}, {seconds:.0f} s{largest}{refused}"
        )

    def _one(self, number: int) -> None:
        problem: dict[str, Any] = {}
        try:
            op, problem, check = draw(number, self.args, self.device)
            part = check(self.args.backend, self.args.run_only)
            self.largest = max(self.largest, (part, number))
            self.done += 1
        except ValueError as error:
            if _REFUSED not in str(error):
                raise
            reason = str(error).split(_REFUSED, 1)[1].split(";")[0].strip(": ")
            self.refused[f"{op}: {reason}"] += 1
        except Exception as error:
            self.failures += 1
            self.done += 1
            first = str(error).strip().splitlines()[0] if str(error).strip() else ""
            print(
                f"FAILED {op} {problem}\n  {type(error).__name__}: {first}\n"
                f"  again: {PROG} --backend {self.args.backend} --device {self.device} "
                f"--op {self.args.op} --seed {self.args.seed} --only {number}",
                flush=True,
            )
            if self.args.only is not None:
                raise


def draw(number: int, args: Any, device: str) -> tuple[str, dict[str, Any], Callable[..., float]]:
    """Problem ``number`` of a seed: the op, what it is, and a function that checks a backend."""
    chance = random.Random(f"{args.seed}:{number}")
    op = chance.choice(OPS) if args.op == "both" else args.op
    if op == "attention":
        problem, options = _attention(chance, device)
        check = _check_attention
    else:
        problem, options = _modulation(chance, device)
        check = _check_modulation
    return op, {**problem, **options}, lambda *how: check(problem, options, *how)


def _common(chance: random.Random, device: str) -> dict[str, Any]:
    import torch

    from scam.ops.problem import LABEL_DTYPES

    dtypes = {
        "cpu": (torch.float64, torch.float32, torch.float32, torch.bfloat16),
        "cuda": (torch.float32, torch.bfloat16, torch.bfloat16, torch.float16),
    }
    return {
        "batch": chance.choice((1, 1, 2, 3)),
        "num_labels": chance.choice((1, 2, 7, 19, 40, 150)),
        "label_dtype": chance.choice([d for d in LABEL_DTYPES]),
        "dtype": chance.choice(dtypes["cuda" if device == "cuda" else "cpu"]),
        "device": device,
        "seed": chance.randrange(1 << 16),
    }


def _attention(chance: random.Random, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    from scam.testing import MEMORY

    key_heads = chance.choice((1, 1, 2, 3))
    shared = chance.random() < 0.4
    few, many = _count(chance, 40, 200), _count(chance, 300, 1500)
    queries, keys = (few, many) if chance.random() < 0.5 else (many, few)
    problem = _common(chance, device) | {
        "heads": key_heads * chance.choice((1, 1, 2)),
        "key_heads": key_heads,
        "queries": queries,
        "keys": keys,
        "width": chance.choice(WIDTHS),
        "value_width": None if shared else chance.choice((None, None, *WIDTHS)),
        "shared_value": shared,
        "memory": chance.choice(MEMORY),
        "reach": chance.choice(REACHES),
        "offset": chance.choice((0.0, 0.0, 30.0)),
    }
    options = {
        "grad_memory": chance.choice([memory for memory in MEMORY if memory != "expanded"]),
        "empty": chance.choice(("zero", "zero", "uniform")),
        "scale": chance.choice((None, None, 1.0, 0.05)),
        "layouts": chance.random() < 0.3,
    }
    return problem, options


def _modulation(chance: random.Random, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    from scam.testing import MAPS

    problem = _common(chance, device) | {
        "heads": chance.choice((1, 1, 1, 2, 3)),
        "channels": chance.choice(WIDTHS),
        "size": (_count(chance, 6, 40), _count(chance, 6, 40)),
        "tokens": _count(chance, 40, 300),
        "memory": chance.choice(MAPS),
        "extras": chance.random() < 0.7,
        "reach": chance.choice(REACHES),
        "offset": chance.choice((0.5, 0.5, 30.0)),
    }
    options = {"negative_slope": chance.choice((0.2, 0.2, 1.0, 0.0)), "eps": 1e-5}
    return problem, options


def _count(chance: random.Random, usual: int, most: int) -> int:
    """0 and 1 now and then, mostly up to ``usual``, sometimes up to ``most``."""
    return chance.choice(
        (0, 1, chance.randint(1, 9), *(chance.randint(1, usual) for _ in range(5)),
         chance.randint(usual, most))
    )  # fmt: skip


def _check_attention(
    problem: dict[str, Any], options: dict[str, Any], backend: str, run_only: bool
) -> float:
    import torch

    from scam.ops import SemanticLayout
    from scam.testing import (
        assert_attention_within_bounds,
        make_inputs,
        outcome,
        poisoned_memory,
    )

    options = dict(options)
    inputs = make_inputs(**problem)
    if options.pop("layouts"):
        build, labels = SemanticLayout.build, problem["num_labels"]
        assert isinstance(inputs.query_labels, torch.Tensor)
        assert isinstance(inputs.key_labels, torch.Tensor)
        layouts = build(inputs.query_labels, labels), build(inputs.key_labels, labels)
        inputs = replace(inputs, query_labels=layouts[0], key_labels=layouts[1])
    with poisoned_memory():
        if run_only:
            outcome(inputs, backend=backend, **options)
            return 0.0
        return assert_attention_within_bounds(inputs, backend=backend, **options)


def _check_modulation(
    problem: dict[str, Any], options: dict[str, Any], backend: str, run_only: bool
) -> float:
    from scam.testing import (
        assert_modulation_within_bounds,
        make_modulation_inputs,
        modulation_outcome,
        poisoned_memory,
    )

    inputs = make_modulation_inputs(**problem)
    with poisoned_memory():
        if run_only:
            modulation_outcome(inputs, backend=backend, **options)
            return 0.0
        return assert_modulation_within_bounds(inputs, backend=backend, **options)


def _parser() -> command.Parser:
    parser = command.Parser(PROG, "Random problems against the fp64 oracle.", EXAMPLES)
    parser.add_argument("--backend", default="cpu", help="default: cpu")
    parser.add_argument("--device", default=None, help="default: a GPU if there is one")
    parser.add_argument("--op", choices=(*OPS, "both"), default="both")
    parser.add_argument("--problems", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one problem of the seed")
    parser.add_argument("--run-only", action="store_true", help="run, compare nothing")
    parser.add_argument("--max-failures", type=int, default=10, metavar="N", help="default: 10")
    parser.add_argument("--time-limit", type=float, default=3600, metavar="S", help="in seconds")
    parser.add_argument("--every", type=float, default=10, metavar="S", help="between progress")
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="of PyTorch, default 1"
    )
    return parser


if __name__ == "__main__":
    command.run(main, PROG)
