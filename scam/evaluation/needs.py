# SPDX-License-Identifier: Apache-2.0
"""What metrics need of others, where it comes from, and what of it is here."""

import argparse
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from scam.evaluation.rows import Row
from scam.pretrained.features import dinov2_code
from scam.pretrained.published import DINOV2, DINOV2_CODE, PUBLISHED, Published
from scam.pretrained.weights import EVAL_PACKAGES, at_home, cached
from scam.storage.reading import file_digest

PACKAGES = {"lpips": "lpips", "torch-fidelity": "fid, kid", "torchmetrics": "ssim"}
"""Of the extra ``[eval]``, with the metrics that need them."""
_INDENT = "    "


def needs_text() -> str:
    """Packages, files and code behind metrics: name, state, use, address and SHA-256."""
    names = [*PACKAGES, *PUBLISHED, "dinov2"]
    width = max(map(len, names))
    return "\n".join(
        f"{words[0]:{width}}  {words[1]:13}  {words[2]}" if isinstance(words, tuple) else words
        for words in _lines()
    )


def sources(rows: Sequence[Row]) -> list[str]:
    """Where the weights come from that ``rows`` lack, a line a file."""
    notes = " ".join(row.note for row in rows if row.value is None)
    return [file.source for file in PUBLISHED.values() if f"put {file.name} " in notes]


def add_weights(parser: argparse.ArgumentParser) -> None:
    """The flag ``--weights``."""
    what = "list the weights that metrics need, where to get them and which are found, and exit"
    parser.add_argument("--weights", action=_ShowNeeds, help=what)


class _ShowNeeds(argparse.Action):
    """A flag that prints :func:`needs_text` and leaves, as ``--help`` does."""

    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **more)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """See the class."""
        print(needs_text())
        parser.exit()


def _lines() -> Iterator[str | tuple[str, str, str]]:
    yield f"packages: {EVAL_PACKAGES}"
    for package, used in PACKAGES.items():
        yield package, _installed(package), used
    yield f"weights: nothing is downloaded; put files into {at_home(cached(DINOV2).parent)}"
    for file in PUBLISHED.values():
        yield file.name, _state(file), file.used
        yield _INDENT + file.source.removeprefix(f"{file.name}: ")
    code = dinov2_code()
    yield "code:"
    yield "dinov2", "here" if (code / "hubconf.py").is_file() else "not installed", "fd"
    yield f"{_INDENT}git clone {DINOV2_CODE} {at_home(code)}"


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _state(file: Published) -> str:
    path = cached(file.name)
    if not path.is_file():
        return "no weights"
    return "another file" if file.mismatch(path, file_digest(path)) else "here"
