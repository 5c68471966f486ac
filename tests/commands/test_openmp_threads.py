# SPDX-License-Identifier: Apache-2.0
"""Commands bound how long OpenMP threads spin before torch reads it; importing them does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BOUND = "GOMP_SPINCOUNT"
COMMAND = "import scam.commandline.command, scam.transfer"
COMMANDS = ("attention", "data", "evaluate", "export", "info", "profile", "styles", "train")
ON_IMPORT_OF_TORCH = f"""
import os, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("{BOUND}:", os.environ.get("{BOUND}"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Finder())
"""


def _run(folder: Path, *words: str, **settings: str) -> str:
    (folder / "sitecustomize.py").write_text(ON_IMPORT_OF_TORCH)
    environment = {name: value for name, value in os.environ.items() if name != BOUND}
    environment |= {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])} | settings
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", [*COMMANDS, "transfer"])
def test_a_command_bounds_them_first(command: str, tmp_path: Path) -> None:
    assert _run(tmp_path, "-m", f"scam.{command}", "--help") == f"{BOUND}: 20000\n"


def test_a_value_that_is_set_stays(tmp_path: Path) -> None:
    assert _run(tmp_path, "-m", "scam.info", **{BOUND: "7"}) == f"{BOUND}: 7\n"


def test_another_packages_command_sets_nothing(tmp_path: Path) -> None:
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("import scam")
    (package / "train.py").write_text("import torch")
    assert _run(tmp_path, "-m", "mine.train") == f"{BOUND}: None\n"


def test_importing_a_command_sets_nothing(tmp_path: Path) -> None:
    assert _run(tmp_path, "-c", COMMAND) == f"{BOUND}: None\n"
