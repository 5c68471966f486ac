# SPDX-License-Identifier: Apache-2.0
"""Draw held-out PSNR and L1 of runs: ``python docs/curves.py OUT.svg NAME=RUN ...``."""

import sys
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from scam.training.log import read_metrics

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "scam"  # equal input, equal file
out, *runs = sys.argv[1:]
figure = Figure(figsize=(8, 3), layout="constrained")
panels = figure.subplots(1, 2)
for axes, quantity, title in zip(
    panels, ("psnr", "l1"), ("held-out PSNR, dB", "training L1"), strict=True
):
    for run in runs:
        name, _, folder = run.partition("=")
        lines = read_metrics(Path(folder) / "metrics.jsonl")
        found = [(line["step"], line[quantity]) for line in lines if quantity in line]
        axes.plot(*zip(*found, strict=True), label=name, linewidth=1)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
figure.savefig(out, format="svg", metadata={"Date": None})
