# SPDX-License-Identifier: Apache-2.0
"""Time against pixels, time against labels, and the roofline of a run, as SVG."""

from pathlib import Path
from typing import Any

from benchmarks.results_file import OURS, RIVALS, Run
from scam.errors import InputError

_SKIPPED = ("SDPA, mask given", "FlexAttention, mask given")


def draw(run: Run, folder: Path) -> list[Path]:
    """Draw what the run holds; returns the files written.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("--plots needs matplotlib: pip install -e '.[bench]'") from error
    matplotlib.use("svg")
    # Equal input, equal file.
    matplotlib.rcParams["svg.hashsalt"] = "scam"
    folder.mkdir(parents=True, exist_ok=True)
    written = [
        _against(run, "side", {"num_labels": 19}, "pixels", folder / "time_pixels.svg"),
        _against(run, "num_labels", {"side": 128}, "labels", folder / "time_labels.svg"),
        _roofline(run, folder / "roofline.svg"),
    ]
    return [path for path in written if path is not None]


def _figure(title: str, x: str, y: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, format="svg", metadata={"Date": None})
    return path


def _against(run: Run, setting: str, fixed: dict[str, int], name: str, path: Path) -> Path | None:
    """Median time of every rival against one setting of the op's forward cases."""
    fixed = {**fixed, "width": 256}
    lines: dict[str, list[tuple[float, float]]] = {}
    for result in run.results:
        case = result.facts["case"]
        plain = {"labels": "coherent", "backward": False, "reads": "latents"}
        wanted = {**fixed, **plain, "memory": "channels_last"}
        if result.area != "attention" or any(case[key] != v for key, v in wanted.items()):
            continue
        x = case[setting] ** 2 if setting == "side" else case[setting]
        for who, contender in result.contenders.items():
            if contender["kind"] in ("ours", "copy", *RIVALS) and who not in _SKIPPED:
                lines.setdefault(who, []).append((x, 1e3 * contender["median"]))
    if all(len(points) < 2 for points in lines.values()):
        return None
    others = ", ".join(f"{key}={value}" for key, value in fixed.items())
    figure, axes = _figure(f"op forward, {others}, {run.machine['dtype']}", name, "ms")
    for who, points in lines.items():
        style = {"linewidth": 2.5, "color": "black"} if who == OURS else {"linewidth": 1}
        axes.plot(*zip(*sorted(points), strict=True), marker="o", markersize=3, label=who, **style)
    axes.legend(fontsize=7)
    return _save(figure, path)


def _roofline(run: Run, path: Path) -> Path | None:
    """Our cases under what the machine copies and multiplies, both measured in the same run."""
    bandwidth, peak = (run.machine[name] for name in ("copy_bytes_per_s", "matmul_flops_per_s"))
    marks = {"attention": "o", "modulation": "s"}
    found = [result for result in run.results if result.area in marks]
    if not found:
        return None
    title = "ours under the measured roofs"
    figure, axes = _figure(title, "operations per byte", "GFLOP/s")
    intensities = [result.facts["flops"] / result.facts["bytes"] for result in found]
    span = [min(intensities) / 2, max(*intensities, peak / bandwidth) * 2]
    roof = [(x, min(peak, bandwidth * x) / 1e9) for x in (span[0], peak / bandwidth, span[1])]
    axes.plot(*zip(*roof, strict=True), color="gray", label="roofs")
    for area, mark in marks.items():
        points = [
            (x, result.facts["flops"] / result.contenders[OURS]["median"] / 1e9)
            for x, result in zip(intensities, found, strict=True)
            if result.area == area
        ]
        if points:
            axes.scatter(*zip(*points, strict=True), marker=mark, s=18, label=area)
    axes.legend(fontsize=7)
    return _save(figure, path)
