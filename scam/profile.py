# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.profile``: where the time and memory of a training step go."""

from collections.abc import Sequence
from pathlib import Path

from scam.commandline.command import in_flags, run
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.commandline.progress import progress
from scam.models.registry import model_class
from scam.profiling import table
from scam.profiling.flags import check_numbers, profile_parser
from scam.profiling.variants import MORE_STEPS, machine, measure_step
from scam.storage.files import write_json
from scam.storage.outputs import expect_outputs

PROG = "python -m scam.profile"
REPORT = "profile.json"


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure each variant, print one table, write JSON and traces if asked to."""
    args = profile_parser(PROG).parse_args(argv)
    check_numbers(args)
    variants = {"fused": ["fused"], "dense": ["dense"], "both": ["fused", "dense"]}[args.variants]
    out: Path | None = args.out
    traces = {} if out is None else {name: out / f"trace_{name}.json" for name in variants}
    if out is not None:
        outputs = [("out", out, file) for file in (out / REPORT, *traces.values())]
        expect_outputs(outputs, overwrite=args.overwrite)
    device = open_device(args.device)
    asked = {"fidelity": args.fidelity, "size": tuple(args.size) if args.size else None}
    changes = {name: value for name, value in asked.items() if value is not None}
    config = model_class(args.kind).Config.preset(args.preset, **changes)
    found = {}
    with progress("profiling", len(variants) * (args.steps + MORE_STEPS), unit="steps") as bar:
        for name in variants:
            found[name] = measure_step(
                config,
                device,
                fused=name == "fused",
                amp=args.amp,
                batch_size=args.batch_size,
                steps=args.steps,
                depth=args.depth,
                trace=traces.get(name),
                overwrite=args.overwrite,
                after_step=bar.update,
            )
    facts = {
        "preset": args.preset,
        "model": {"kind": config.kind, **config.as_dict()},
        "batch_size": args.batch_size,
        "amp": args.amp,
        **machine(device),
    }
    print(table.header(facts))
    print(table.render(found))
    if out is not None:
        write_json(out / REPORT, {**facts, "variants": found}, overwrite=args.overwrite)
        say(f"profile: {out / REPORT}")


if __name__ == "__main__":
    run(main, PROG)
