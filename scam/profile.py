# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.profile``: where the time and memory of a training step go."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scam.commandline.command import Parser, in_flags, open_device, run
from scam.commandline.console import say
from scam.commandline.progress import progress
from scam.errors import InputError
from scam.models import PRESETS, ScamConfig
from scam.profiling import table
from scam.storage.files import write_aside, write_json
from scam.storage.outputs import expect_outputs

if TYPE_CHECKING:
    import torch
    from tqdm import tqdm

    from scam.profiling import ModuleCost, Scopes

PROG = "python -m scam.profile"
EXAMPLES = """\
  python -m scam.profile
      one training step of the tiny preset, fused and dense side by side
  python -m scam.profile --preset celebamask-hq --fused-sca --depth 4
      the fused step alone, down to single modulations
  python -m scam.profile --preset ade20k --batch-size 8 --device cuda --amp --out profile
      writes profile/profile.json and one Chrome trace per variant (open in ui.perfetto.dev)"""

REPORT = "profile.json"


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure each variant, print one table, write JSON and traces if asked to."""
    args = _parser().parse_args(argv)
    for name, least in (("batch_size", 1), ("steps", 1), ("depth", 1)):
        value = getattr(args, name)
        if not least <= value < 2**31:
            bound = f">= {least}" if value < least else "< 2**31"
            raise InputError(f"--{name.replace('_', '-')} {value}: expected {bound}")
    variants = {"fused": ["fused"], "dense": ["dense"], "both": ["fused", "dense"]}[args.variants]
    out: Path | None = args.out
    if out is not None:
        files = [out / REPORT, *(out / _trace(name) for name in variants)]
        expect_outputs([(f"--out {out}", file) for file in files], overwrite=args.overwrite)
    device = open_device(args.device)
    changes: dict[str, Any] = {"fidelity": args.fidelity}
    if args.size:
        changes["size"] = tuple(args.size)
    config = ScamConfig.preset(args.preset, **changes)
    found = {}
    with progress("profiling", len(variants) * (args.steps + 3), unit="steps") as bar:
        for name in variants:
            trace = None if out is None else out / _trace(name)
            found[name] = _measure(config, device, name == "fused", args, trace, bar)
    facts = {
        "preset": args.preset,
        "model": config.as_dict(),
        "batch_size": args.batch_size,
        "amp": args.amp,
        **_machine(device),
    }
    print(table.header(facts))
    print(table.render(found))
    if out is not None:
        write_json(out / REPORT, {**facts, "variants": found}, overwrite=args.overwrite)
        say(f"profile: {out / REPORT}")


def _trace(variant: str) -> str:
    return f"trace_{variant}.json"


def _measure(
    config: ScamConfig,
    device: "torch.device",
    fused: bool,
    args: argparse.Namespace,
    trace: Path | None,
    bar: "tqdm[Any]",
) -> dict[str, Any]:
    """One variant: a step under memory hooks, timed steps, a profiled step."""
    import torch

    from scam import profiling
    from scam.profiling.modules import OPTIMIZERS, REST, summed_up
    from scam.training.trainer import Trainer

    networks = profiling.build_step(config, device, fused=fused, amp=args.amp)
    trainer = Trainer(networks)
    image, labels = profiling.draw_batch(config, args.batch_size, device)
    modules = profiling.module_tree(networks, args.depth)
    number = iter(range(1, args.steps + 4))

    def step() -> None:
        trainer.step((image, labels), next(number))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        bar.update()

    lasting: list[torch.Tensor] = [
        *networks.model.parameters(),
        *networks.discriminator.parameters(),
    ]
    lasting += [*networks.model.buffers(), *networks.perceptual.parameters(), image, labels]
    with profiling.Scopes(modules) as scopes, profiling.saved_bytes(scopes, lasting) as saved:
        step()
    peak = profiling.peak_bytes(step, device)
    times = []
    for _ in range(args.steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    with profiling.Scopes(modules) as scopes:
        own = _profiled(step, scopes, device, trace, args.overwrite)
    for path, count in saved.items():
        own.setdefault(path, profiling.ModuleCost()).saved_bytes = count
    totals = summed_up(own, [*modules, OPTIMIZERS, REST])
    result = {
        "step_s": statistics.median(times),
        "steps": len(times),
        "peak_bytes": peak,
        "saved_bytes": sum(saved.values()),
        "modules": {path: asdict(cost) for path, cost in totals.items()},
    }
    return result


def _profiled(
    step: Callable[[], None],
    scopes: "Scopes",
    device: "torch.device",
    trace: Path | None,
    overwrite: bool,
) -> "dict[str, ModuleCost]":
    from scam.profiling import module_times

    if trace is None:
        return module_times(step, scopes, device)
    with write_aside(trace, overwrite=overwrite) as file:
        return module_times(step, scopes, device, file.name)


def _machine(device: "torch.device") -> dict[str, Any]:
    import torch

    from scam.version import __version__

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "scam": __version__,
    }


def _parser() -> Parser:
    parser = Parser(PROG, "Time and memory of a training step, module by module.", EXAMPLES)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="tiny", help="default: tiny")
    parser.add_argument(
        "--size", nargs=2, type=int, metavar=("H", "W"), help="the preset's if absent"
    )
    parser.add_argument(
        "--fidelity",
        choices=("default", "released"),
        default="default",
        help="released: the published networks",
    )
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: a GPU if there is one")
    which = parser.add_mutually_exclusive_group()
    for flag, value, text in (
        ("--fused-sca", "fused", "the fused attention only"),
        ("--no-fused-sca", "dense", "the paper's dense attention only"),
        ("--both", "both", "side by side (default)"),
    ):
        which.add_argument(flag, dest="variants", action="store_const", const=value, help=text)
    parser.set_defaults(variants="both")
    parser.add_argument(
        "--steps", type=int, default=3, metavar="N", help="timed steps (default: 3)"
    )
    parser.add_argument(
        "--depth", type=int, default=3, metavar="N", help="levels of modules to list (default: 3)"
    )
    parser.add_argument("--amp", action="store_true", help="16-bit floats, as in scam.train")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for profile.json and Chrome traces"
    )
    parser.add_overwrite()
    return parser


if __name__ == "__main__":
    run(main, PROG)
