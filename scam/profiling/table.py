# SPDX-License-Identifier: Apache-2.0
"""A profile as text: the module tree with one group of columns per variant."""

from typing import Any

from scam.errors import sized

_COLUMNS = ("fwd ms", "bwd ms", "saved MB")
_WIDTH = 10
_ENOUGH = 10  # steps whose median tells a few per cent on a quiet machine


def header(facts: dict[str, Any]) -> str:
    """What was measured, in one line."""
    amp = ", --amp" if facts["amp"] else ""
    return (
        f"{facts['preset']}, {sized(facts['model']['size'])}, batch {facts['batch_size']}{amp}, "
        f"{facts['device']}, {facts['threads']} threads, torch {facts['torch']}"
    )


def render(variants: dict[str, dict[str, Any]]) -> str:
    """Rows of modules, each with what is inside it, then the whole step."""
    paths = list(next(iter(variants.values()))["modules"])
    label = max(len(_label(path)) for path in paths) + 2
    group = len(_COLUMNS) * _WIDTH
    lines = [
        " " * label + "".join(f"{name:>{group}}" for name in variants),
        " " * label + "".join(f"{title:>{_WIDTH}}" for title in _COLUMNS) * len(variants),
    ]
    for path in paths:
        cells = "".join(_cells(variant["modules"][path]) for variant in variants.values())
        lines.append(f"{_label(path):<{label}}{cells}")
    lines.append("")
    for name, variant in variants.items():
        lines.append(
            f"{name}: {1e3 * variant['step_s']:.1f} ms a step (median of {variant['steps']}, not "
            f"profiled), peak {_mega(variant['peak_bytes'])} MB above the idle trainer, "
            f"saved for backward {_mega(variant['saved_bytes'])} MB"
        )
    if len(variants) == 2:
        fused, dense = (variants[name] for name in ("fused", "dense"))
        few = min(fused["steps"], dense["steps"]) < _ENOUGH
        lines.append(
            f"dense over fused: time {dense['step_s'] / fused['step_s']:.2f}x, "
            f"saved {dense['saved_bytes'] / max(fused['saved_bytes'], 1):.2f}x"
            + (f" (for the time take --steps {_ENOUGH} or more)" if few else "")
        )
    return "\n".join(lines)


def _label(path: str) -> str:
    """The last names of a path, indented by its depth."""
    depth = path.count(".")
    return "  " * depth + path.rsplit(".", 1)[-1] if depth < 2 else _deep(path, depth)


def _deep(path: str, depth: int) -> str:
    # "blocks.3" says more than "3".
    parts = path.split(".")
    name = f"{parts[-2]}.{parts[-1]}" if parts[-1].isdigit() else parts[-1]
    return "  " * depth + name


def _cells(cost: dict[str, Any]) -> str:
    times = (1e3 * cost["forward_s"], 1e3 * cost["backward_s"])
    cells = [f"{time:.1f}" for time in times] + [_mega(cost["saved_bytes"])]
    return "".join(f"{cell:>{_WIDTH}}" for cell in cells)


def _mega(count: int) -> str:
    return f"{count / 1e6:.1f}"
