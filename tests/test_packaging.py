# SPDX-License-Identifier: Apache-2.0
"""What ends up in a wheel and in an sdist, built from a copy of the tree."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not a checkout")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout, with a stale library in it that no pure-Python wheel may pick up."""
    copy = tmp_path_factory.mktemp("packaging") / "tree"
    skip = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "build", "dist", "runs", "*.so")
    wanted = [path for path in ROOT.iterdir() if path.name in WANTED or path.suffix == ".md"]
    copy.mkdir()
    for path in wanted:
        target = copy / path.name
        shutil.copytree(path, target, ignore=skip) if path.is_dir() else shutil.copy(path, target)
    for name in ("LICENSE", "README.md"):
        (copy / name).touch()
    (copy / "scam" / "_C.so").write_bytes(b"stale")
    return copy


WANTED = {"scam", "csrc", "kernels", "setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE"}


DEMO = ("model.safetensors", "config.json", "README.md")


def build(tree: Path, call: str, switch: str) -> subprocess.CompletedProcess[str]:
    """Call a hook of setuptools' build backend in a process of its own."""
    script = f"import setuptools.build_meta as backend; backend.{call}('dist')"
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=tree,
        env={**os.environ, "SCAM_BUILD_CPU": switch, "SCAM_BUILD_CUDA": "0"},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_pure_python_wheel_imports_and_says_what_is_missing(tree: Path, tmp_path: Path) -> None:
    done = build(tree, "build_wheel", "0")
    assert done.returncode == 0, done.stderr
    assert "CPU kernels not built: SCAM_BUILD_CPU=0" in done.stderr
    (wheel,) = (tree / "dist").glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path)
    (entry,) = tmp_path.glob("*.dist-info/entry_points.txt")
    assert "scam = scam.__main__:script" in entry.read_text()
    assert {"scam/py.typed", "scam/ops/preferred.csv", "scam/_build_info.json"} <= set(names)
    static = {p.relative_to(tree).as_posix() for p in (tree / "scam/studio/static").iterdir()}
    assert static <= set(names)
    assert {f"scam/demo/{name}" for name in DEMO} <= set(names)
    tops = {name.partition("/")[0] for name in names}
    (metadata,) = tops - {"scam"}
    assert metadata.startswith("semantic_cross_attention-")
    about = (tmp_path / metadata / "METADATA").read_text()
    for field in ("Author: ", "Classifier: Typing", "Project-URL: Paper, "):
        assert f"\n{field}" in about
    compiled = [name for name in names if not name.startswith("scam/_kernels/")]
    assert not [name for name in compiled if name.endswith((".so", ".cpp", ".h"))]
    devices = {f"scam/_{p.relative_to(tree)}" for p in (tree / "kernels").glob("*/*.*")}
    assert "scam/_kernels/sca_triton/configs.py" in devices
    assert devices <= set(names)
    script = (
        "import scam, torch; from scam.ops.backends import cpu; "
        "from scam.ops.problem import Problem; "
        "from scam.kernels.sca_triton import configs; "
        "print(configs.__file__); "
        "print(scam.__file__, *cpu.refusals(Problem('cpu', torch.float32)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert str(tmp_path / "scam" / "_kernels") in found.stdout
    assert "not built" in found.stdout


def test_sdist_carries_every_source_of_the_kernels(tree: Path) -> None:
    done = build(tree, "build_sdist", "0")
    assert done.returncode == 0, done.stderr
    (sdist,) = (tree / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    folders = [*tree.glob("csrc/**/*"), *tree.glob("kernels/**/*")]
    sources = {str(p.relative_to(tree)) for p in folders if p.is_file()}
    assert "csrc/sca.h" in sources
    assert sources <= names
    assert {"setup.py", "pyproject.toml", "scam/py.typed"} <= names
    assert {f"scam/demo/{name}" for name in DEMO} <= names
    assert not [name for name in names if name.endswith((".so", ".o"))]


def test_demanded_build_without_a_compiler_fails_with_the_reason(tree: Path) -> None:
    script = "import os, runpy; os.environ['CXX'] = 'no-such-compiler'; runpy.run_path('setup.py')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tree,
        env={**os.environ, "SCAM_BUILD_CPU": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "no C++ compiler (no-such-compiler; set CXX)" in done.stderr
    done = build(tree, "build_wheel", "maybe")
    assert done.returncode != 0
    assert "SCAM_BUILD_CPU must be auto, 1 or 0, got 'maybe'" in done.stderr
