# SPDX-License-Identifier: Apache-2.0
"""How setup.py builds the CUDA module into a wheel, with compilers that only leave files."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WANTED = ("scam", "csrc", "kernels", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md")
COMPILER = """#!/bin/sh
while [ $# -gt 0 ]; do
  [ "$1" = -o ] && echo compiled > "$2"
  [ "$1" = -MF ] && : > "$2"
  shift
done
"""

pytestmark = [
    pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not a checkout"),
    pytest.mark.skipif(sys.platform != "linux", reason="the kernels are built on Linux"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    copy = tmp_path / "tree"
    copy.mkdir()
    skip = shutil.ignore_patterns("*.so", "__pycache__")
    for name in WANTED:
        path, target = ROOT / name, copy / name
        shutil.copytree(path, target, ignore=skip) if path.is_dir() else shutil.copy(path, target)
    (copy / "LICENSE").touch()
    return copy


def wheel(tree: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    script = "import setuptools.build_meta as backend; backend.build_wheel('dist')"
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=tree,
        env={**os.environ, "SCAM_BUILD_CPU": "0", **settings},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_wheel_with_the_module_is_for_this_python(tree: Path) -> None:
    for name in ("ninja", "pybind11"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    (tree / "cuda" / "bin").mkdir(parents=True)
    for path in (tree / "cuda" / "bin" / "nvcc", tree / "host"):
        path.write_text(COMPILER)
        path.chmod(0o755)
    settings = {"SCAM_BUILD_CUDA": "1", "CUDA_HOME": str(tree / "cuda"), "CXX": str(tree / "host")}
    done = wheel(tree, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (tree / "dist").glob("*.whl")
    version = "cp{}{}".format(*sys.version_info[:2])
    assert f"-{version}-{version}-linux" in made.name
    with zipfile.ZipFile(made) as archive:
        module = f"scam/_cuda{sysconfig.get_config_var('EXT_SUFFIX')}"
        assert archive.read(module) == b"compiled\n"
        assert b'"cuda_kernels": true' in archive.read("scam/_build_info.json")


def test_a_demanded_build_without_nvcc_fails_with_the_reason(tree: Path) -> None:
    done = wheel(tree, SCAM_BUILD_CUDA="1", CUDA_HOME=str(tree))
    assert done.returncode != 0
    assert "SCAM_BUILD_CUDA=1, but the CUDA kernels cannot be built: no nvcc" in done.stderr


def test_an_automatic_build_without_nvcc_says_so_and_goes_on(tree: Path) -> None:
    done = wheel(tree, CUDA_HOME=str(tree), SCAM_BUILD_CUDA="auto")
    assert done.returncode == 0, done.stderr
    assert "CUDA kernels not built: no nvcc (in PATH or CUDA_HOME)" in done.stderr
