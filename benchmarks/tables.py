# SPDX-License-Identifier: Apache-2.0
"""Results as Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.results_file import OURS, RIVALS, Result, Run
from benchmarks.targets import TARGETS, op

AREAS = {
    "attention": "semantic_cross_attention",
    "scaling": "The same op under other labels and layouts",
    "modulation": "semantic_modulation",
    "affine": "indexed_affine",
    "baselines": "Parts of the baselines",
    "networks": "Encoder and generator, forward and backward",
    "step": "Training step",
    "memory": "Peak memory of training",
}


def where(run: Run) -> str:
    """One line: machine, versions, commit."""
    facts = run.machine
    device = facts.get("gpu") or f"{facts['cpu']}, {facts['threads']} threads"
    commit = (facts.get("commit") or "unknown")[:10] + (" (modified)" if facts["dirty"] else "")
    return (
        f"{device}, {facts['dtype']}, torch {facts['torch']}, commit {commit}, {run.date}; copy "
        f"{facts['copy_bytes_per_s'] / 1e9:.1f} GB/s, matrix product "
        f"{facts['matmul_flops_per_s'] / 1e9:.0f} GFLOP/s, load {facts['load_average']:.2f} "
        "at the start"
    )


def headline(run: Run) -> str:
    """The operator on the labels of ADE20K, and the rivals that come nearest to it."""
    result = op(run, 150)
    if result is None:
        return "Not measured in this run."
    case = result.facts["case"]
    what = (
        f"forward, {case['side']} x {case['side']} pixels of width {case['width']}, "
        f"{case['k']} latents for each of {case['num_labels']} labels"
    )
    row = [what, f"{_ms(result, OURS)} ms"]
    for kinds in (("dense",), RIVALS):
        name, ratio = result.fastest(*kinds) or ("", 0.0)
        row.append(f"{_ms(result, name)} ms, **{ratio:.3g}x** ({name})" if name else "")
    head = ("`semantic_cross_attention`", "ours", "fastest dense way", "fastest of any kind")
    return table(head, [row])


def targets(run: Run) -> str:
    """Every target with what was measured, and whether that meets it."""
    rows = []
    for target in TARGETS:
        bound = target.bound(run.device)
        if bound is None:
            continue
        found = target.measure(run)
        sign = ">=" if target.at_least else "<="
        wanted = f"{sign} {target.show(bound)}"
        if found is None:
            rows.append((target.what, wanted, "not measured", "", ""))
            continue
        value, note = found
        verdict = "met" if target.met(run.device, value) else "missed"
        rows.append((target.what, wanted, target.show(value), verdict, note))
    return table(("what", "target", "measured", "", "against, or how"), rows)


def cases(run: Run) -> str:
    """A table per area: every contender of every case, and who could not run."""
    parts = []
    for area, title in AREAS.items():
        results = [result for result in run.results if result.area == area]
        if not results:
            continue
        parts.append(f"## {title}")
        parts.append(_memory(results) if area == "memory" else _times(results))
        refusals = _refusals(results)
        if refusals:
            parts.append(refusals)
    return "\n\n".join(parts)


def losses(run: Run) -> str:
    """Where a rival is faster than ours."""
    rows = [
        (result.id, name, f"{1e3 * c['median']:.3g}", _ms(result, OURS), f"{c['ratio']:.2f}x")
        for result in run.results
        for name, c in result.contenders.items()
        if c["kind"] in RIVALS and "median" in c and c["ratio"] < 1
    ]
    if not rows:
        return "No rival was faster in any case of this run."
    return table(("case", "rival", "its ms", "our ms", "its time over ours"), rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _times(results: list[Result]) -> str:
    rows = []
    for result in results:
        ranked = sorted(result.contenders.items(), key=lambda pair: float(pair[1]["median"]))
        for index, (name, c) in enumerate(ranked):
            spread = f"{1e3 * c['p20']:.3g} to {1e3 * c['p80']:.3g}"
            error = max(c["error"].values(), default=None)
            rows.append(
                (
                    result.id if index == 0 else "",
                    f"**{name}**" if name == OURS else name,
                    f"{1e3 * c['median']:.3g}",
                    f"{1e3 * c['minimum']:.3g}",
                    spread,
                    f"{c['ratio']:.3g}",
                    _rate(result, name),
                    "" if error is None else f"{error:.0e}",
                )
            )
    head = ("case", "who", "ms", "least", "20 to 80 %", "over ours", "GB/s", "error")
    return table(head, rows)


def _rate(result: Result, name: str) -> str:
    """Least bytes over time: how near to the machine's copy ours comes."""
    moved = {OURS: result.facts.get("bytes"), "copy": result.facts.get("copy_bytes")}.get(name)
    return "" if moved is None else f"{moved / result.contenders[name]['median'] / 1e9:.1f}"


def _memory(results: list[Result]) -> str:
    rows = []
    for result in results:
        for name, c in result.contenders.items():
            bytes_ = c.get("peak_bytes") or c["at_least_bytes"]
            least = "" if "peak_bytes" in c else "more than "
            rows.append((result.id, name, f"{least}{bytes_ / 1e9:.2f}", f"{c['ratio']:.3g}"))
    return table(("case", "who", "GB above the built model", "over ours"), rows)


def _refusals(results: list[Result]) -> str:
    found: dict[tuple[str, str], int] = {}
    for result in results:
        for pair in result.refused.items():
            found[pair] = found.get(pair, 0) + 1
    return "\n".join(f"- {name}: {why} ({count} cases)" for (name, why), count in found.items())


def _ms(result: Result, name: str) -> str:
    contender: dict[str, Any] = result.contenders[name]
    return f"{1e3 * contender['median']:.3g}"
