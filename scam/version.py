# SPDX-License-Identifier: Apache-2.0
"""The version of scam, and those of other packages that it was tested with."""

import platform
import re
from importlib import metadata

__version__ = "0.2.0.dev0"
DISTRIBUTION = "semantic-cross-attention"
"""What pip installs; ``scam`` on PyPI is another project."""

TESTED = {
    "python": ("3.11", "3.11"),
    "torch": ("2.10", "2.15"),
    "torchvision": ("0.25", "0.29"),
    "triton": ("3.6", "3.9"),
    "numpy": ("1.26", "2.4"),
    "pillow": ("10.3", "13.0"),
    "safetensors": ("0.4.5", "0.8.0"),
    "huggingface-hub": ("0.30", "2.4"),
    "tqdm": ("4.66", "4.70"),
}
"""Oldest and newest. The oldest are the least that pyproject.toml asks for."""


def install(extra: str) -> str:
    """The command that adds the packages of an extra, in a clone as to an installed wheel."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def outside() -> list[str]:
    """One line for each installed version that is older or newer than those tested."""
    lines = []
    for name, (oldest, newest) in TESTED.items():
        found = _installed(name)
        if found is not None and not _numbers(oldest) <= _cut(found, oldest):
            lines.append(f"{name} {found} is older than {oldest}, the oldest tested")
        elif found is not None and _cut(found, newest) > _numbers(newest):
            lines.append(f"{name} {found} is newer than {newest}, the newest tested")
    return lines


def table() -> str:
    """The versions as docs/versions.md shows them."""
    rows = [f"| {name} | {oldest} | {newest} |" for name, (oldest, newest) in TESTED.items()]
    return "\n".join(["| package | oldest | newest |", "|---|---|---|", *rows])


def _installed(name: str) -> str | None:
    if name == "python":
        return platform.python_version()
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None  # Triton is for Linux alone


def _numbers(version: str) -> tuple[int, ...]:
    """``2.15.0+cu132`` -> (2, 15, 0)."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in release[0].split(".")) if release else ()


def _cut(version: str, to: str) -> tuple[int, ...]:
    """As many numbers of ``version`` as ``to`` has."""
    return _numbers(version)[: len(_numbers(to))]
