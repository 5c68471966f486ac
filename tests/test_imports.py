# SPDX-License-Identifier: Apache-2.0
"""Imports run one way: each part of the package knows those before it in this list only."""

import ast
import graphlib
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import scam

ROOT = Path(scam.__file__).parent
ORDER = (
    ("errors", "version", "kernels"),
    ("settings",),
    ("commandline", "storage", "metrics"),
    ("data", "pretrained"),
    ("ops",),
    ("testing", "nn"),
    ("checkpoints",),
    ("models",),
    ("editing",),
    ("training",),
    ("synthesis",),
    ("profiling",),
    ("evaluation",),
    ("semia",),
    ("comparison", "studio"),
    (
        "__main__",
        "attention",
        "compare",
        "evaluate",
        "export",
        "info",
        "profile",
        "styles",
        "train",
        "transfer",
    ),
)
ANYWHERE = {"", "__init__"}  # scam itself
RANKS = {part: rank for rank, parts in enumerate(ORDER) for part in parts}


def part_of(module: str) -> str:
    """``scam.data.folder`` -> ``data``."""
    return module.partition(".")[2].partition(".")[0]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "scam":
            yield from (f"scam.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", sorted(str(p.relative_to(ROOT)) for p in ROOT.rglob("*.py")))
def test_imports_run_one_way(file: str) -> None:
    own = Path(file).parts[0].removesuffix(".py")
    if own in ANYWHERE or own.startswith("_"):
        return
    for module in imported(ROOT / file):
        other = part_of(module) if module.partition(".")[0] == "scam" else own
        if other not in ANYWHERE and other[0].islower() and other != own:
            assert RANKS[other] < RANKS[own], f"{own} imports {module}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Later imports, inside functions, and those for types alone count too."""
    files = {
        ".".join(("scam", *path.relative_to(ROOT).with_suffix("").parts)): path
        for path in ROOT.rglob("*.py")
        if path.name != "__init__.py"
    }
    graphlib.TopologicalSorter(
        {module: set(imported(path)) & files.keys() for module, path in files.items()}
    ).prepare()


def test_the_training_engine_knows_no_model_and_no_pictures() -> None:
    """Whatever is trained brings its own."""
    modules = {
        part_of(x)
        for file in (ROOT / "training").glob("*.py")
        for x in imported(file)
        if x.startswith("scam.")
    }
    assert "checkpoints" in modules
    assert not modules & {"models", "nn", "ops", "data", "editing", "pretrained", "synthesis"}


@pytest.mark.parametrize("room", ["training", "synthesis", "editing", "evaluation", "comparison"])
def test_no_kind_of_model_is_named(room: str) -> None:
    """Callers ask a model what it can do."""
    kinds = ("scam.models.scam", "scam.models.Scam")
    for file in (ROOT / room).rglob("*.py"):
        named = [module for module in imported(file) if module.startswith(kinds)]
        assert not named, f"{file} imports {named}"
        assert not re.search(r"\bScam\b|ScamConfig|fidelity\b(?!\.)", _code(file)), file


def test_a_file_beside_the_rooms_is_a_command() -> None:
    for file in ROOT.glob("*.py"):
        if file.stem not in ("__init__", "errors", "version"):
            text = file.read_text()
            assert 'if __name__ == "__main__":' in text, file
            assert text.count("\n") <= 80, file


def test_the_modules_of_the_page_import_in_no_circle() -> None:
    files = (ROOT / "studio" / "static").glob("*.js")
    known = {x.name: re.findall(r'from "\./([^"]+)"', x.read_text()) for x in files}
    assert "pictures.js" in known["main.js"]
    assert set(TopologicalSorter(known).static_order()) == set(known)


def _code(file: Path) -> str:
    """Without words: those of docstrings, comments and messages."""
    tree = ast.parse(file.read_text())
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    names += [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return " ".join(names)
