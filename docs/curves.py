# SPDX-License-Identifier: Apache-2.0
"""Draw held-out PSNR and L1 of runs: ``python docs/curves.py OUT.svg NAME=RUN ...``."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scam.commandline import command
from scam.errors import InputError
from scam.storage.files import write_aside
from scam.training.log import read_metrics

PROG = "python docs/curves.py"
FORMATS = ("svg", "png", "pdf")
PANELS = {"psnr": "held-out PSNR, dB", "l1": "training L1"}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the metrics of every run and write one image."""
    example = "  python docs/curves.py curves.svg photos=runs/photos no_gan=runs/no_gan"
    parser = command.Parser(PROG, "Draw held-out PSNR and L1 of runs over their steps.", example)
    parser.add_argument("out", type=Path, help="the picture; .svg, .png or .pdf")
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", help="legend and run folder")
    args = parser.parse_args(argv)
    form = args.out.suffix.removeprefix(".")
    if form not in FORMATS:
        raise InputError(f"{args.out}: expected a name that ends in .svg, .png or .pdf")
    matplotlib.rcParams["svg.hashsalt"] = "scam"  # equal input, equal file
    figure = Figure(figsize=(8, 3), layout="constrained")
    panels = figure.subplots(1, len(PANELS))
    for axes, (quantity, title) in zip(panels, PANELS.items(), strict=True):
        for run in args.runs:
            _draw(axes, run, quantity)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    with write_aside(args.out) as file:
        figure.savefig(file, format=form, metadata={"Date": None} if form == "svg" else None)


def _draw(axes: Axes, run: str, quantity: str) -> None:
    name, is_named, folder = run.partition("=")
    metrics = Path(folder) / "metrics.jsonl"
    if not is_named or not metrics.is_file():
        raise InputError(f"{run}: expected NAME=RUN with a {metrics.name} in the folder RUN")
    lines = [line for line in read_metrics(metrics) if quantity in line]
    axes.plot(
        [line["step"] for line in lines], [line[quantity] for line in lines], label=name, lw=1
    )


if __name__ == "__main__":
    command.run(main, PROG)
