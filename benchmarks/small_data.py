# SPDX-License-Identifier: Apache-2.0
"""``python benchmarks/small_data.py``: the options for few pictures, trained at equal budget."""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

if not __package__:  # started as a file: its folder is on the path in place of the checkout
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from scam import cli, evaluate, train
from scam.errors import InputError
from scam.files import read_json, write_json
from scam.training.run_folder import RunFolder

PROG = "python benchmarks/small_data.py"
EXAMPLES = """\
  python benchmarks/small_data.py --out runs/few -- --data photos --steps 1500 --gan-from 200
      every option once, then the table; started again it goes on where it was stopped
  python benchmarks/small_data.py --out runs/few --only base,diffaugment --seeds 0 1 2 -- \\
      --data photos --steps 1500 --gan-from 200 --holdout 800
      two of them, three times each, with 800 photographs held out"""

KINDS = "color,translation,cutout"
OPTIONS: dict[str, list[str]] = {
    "base": [],
    "no_gan": ["--gan", "0"],
    "diffaugment": ["--diffaugment", KINDS],
    "translation_cutout": ["--diffaugment", "translation,cutout"],
    "lecam": ["--lecam", "0.3"],
    "diffaugment_lecam": ["--diffaugment", KINDS, "--lecam", "0.3"],
    "oasis": ["--discriminator", "oasis", "--lr-discriminator", "4e-4"],
    "oasis_labelmix": [
        *("--discriminator", "oasis", "--lr-discriminator", "4e-4", "--labelmix", "10"),
    ],
    "oasis_labelmix_diffaugment": [
        *("--discriminator", "oasis", "--lr-discriminator", "4e-4", "--labelmix", "10"),
        *("--diffaugment", KINDS),
    ],
    "style_dropout": ["--style-dropout", "0.1"],
    "relativistic": ["--gan-loss", "relativistic"],
    "relativistic_r1_r2": [
        *("--gan-loss", "relativistic", "--no-gradient-norm", "--r1", "0.1", "--r2", "0.1"),
    ],
    "augment_perceptual": ["--augment-perceptual", "translation,cutout"],
}
COLUMNS = {
    "PSNR": ("psnr", "reconstruction, pooled"),
    "SSIM": ("ssim", "reconstruction, mean of pictures"),
    "LPIPS": ("lpips", "reconstruction, mean of pictures"),
    "pyramid": ("pyramid", "reconstruction, mean of pictures"),
    "detail": ("detail", "reconstruction, mean of pictures"),
    "leak": ("locality", "change outside it"),
    "cycle": ("cycle", "A to B to A, pooled"),
}
"""Numbers of the table, by metric and name in the report of ``python -m scam.evaluate``."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train and measure what is not yet there, then print and store the table."""
    given = list(sys.argv[1:] if argv is None else argv)
    cut = given.index("--") if "--" in given else len(given)
    args, common = _parser().parse_args(given[:cut]), given[cut + 1 :]
    wanted = args.only.split(",") if args.only else list(OPTIONS)
    for name in wanted:
        if name not in OPTIONS:
            raise InputError(f"--only {name}: expected some of {','.join(OPTIONS)}")
    results = args.out / "results.json"
    if results.exists() and (others := read_json(results).get("common")) != common:
        raise InputError(
            f"--out {args.out} holds runs with the flags {others}: give them, or another --out"
        )
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
    for seed in args.seeds:
        for name in wanted:
            print(f"{name}, seed {seed}")
            run = args.out / f"{name}-{seed}"
            _train(run, [*common, *OPTIONS[name], "--seed", str(seed)])
            found[name].append({"seed": seed, **_measured(run)})
            write_json(results, {"common": common, "runs": found})
    print(table(found))


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Markdown: an option per row, means over seeds and, of several, half their spread."""
    names = [*COLUMNS, "s/step"]
    lines = [f"| option | {' | '.join(names)} |", f"|---{'|---' * len(names)}|"]
    for option, runs in found.items():
        cells = [_cell([run[name] for run in runs if run[name] is not None]) for name in names]
        lines.append(f"| {option} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    spread = f" ± {(max(values) - min(values)) / 2:.2g}" if len(values) > 1 else ""
    return f"{fmean(values):.4g}{spread}"


def _train(run: Path, arguments: list[str]) -> None:
    """Begin, go on or leave alone; what a run began with it keeps."""
    config, folder = run / "config.json", RunFolder(run, {})
    if folder.newest() is None:
        folder.discard()  # it was stopped before its first checkpoint
        begun = time.perf_counter()
        train.main([*arguments, "--out", str(run)])
        write_json(run / "seconds.json", {"seconds": time.perf_counter() - begun})
    elif folder.newest() != folder.step_folder(read_json(config)["training"]["steps"]):
        train.main([*arguments, "--resume", "--out", str(run)])


def _measured(run: Path) -> dict[str, float | None]:
    report = run / "measured" / "report.json"
    if not report.exists():
        metrics = sorted({metric for metric, _ in COLUMNS.values()})
        evaluate.main(
            [
                str(run),
                "--split",
                "val",
                "--metrics",
                ",".join(metrics),
                "--out",
                str(report.parent),
            ]
        )
    rows = {(row["metric"], row["what"]): row["value"] for row in read_json(report)["rows"]}
    values: dict[str, float | None] = {name: rows.get(key) for name, key in COLUMNS.items()}
    steps = read_json(run / "config.json")["training"]["steps"]
    timed = run / "seconds.json"  # missing where a run was interrupted
    values["s/step"] = read_json(timed)["seconds"] / steps if timed.exists() else None
    return values


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<27} {' '.join(flags)}" for name, flags in OPTIONS.items())
    parser = cli.Parser(
        PROG,
        "Compare options for few pictures. After -- come flags for every python -m scam.train.",
        f"{EXAMPLES}\n\noptions:\n{listed}",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--only", metavar="NAME,...", help="which of those below (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    return parser


if __name__ == "__main__":
    cli.run(main, PROG)
