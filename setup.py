# SPDX-License-Identifier: Apache-2.0
"""Build logic only; the metadata is in pyproject.toml.

SCAM_BUILD_CPU=auto|1|0 decides about the CPU kernels (scam/_C.so). `auto` builds them where a
C++ compiler and torch are found and otherwise installs pure Python; `1` makes that an error; `0`
never builds. A compiler that fails is always an error.
"""

import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MINIMUM_TORCH = (2, 10)
SOURCES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("csrc/**/*.cpp"))
HEADERS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("csrc/**/*.h"))
FLAGS = [
    "-O3",
    "-g0",
    "-ffp-contract=fast",
    "-fvisibility=hidden",
    "-Wno-psabi",  # vectors never cross a function that is not inlined or internal
    "-Wno-ignored-attributes",
    f"-ffile-prefix-map={ROOT}=.",
]


def main() -> None:
    switch = os.environ.get("SCAM_BUILD_CPU", "auto")
    if switch not in ("auto", "0", "1"):
        raise SystemExit(f"SCAM_BUILD_CPU must be auto, 1 or 0, got {switch!r}")
    missing = "SCAM_BUILD_CPU=0" if switch == "0" else why_not()
    if missing and switch == "1":
        raise SystemExit(f"SCAM_BUILD_CPU=1, but the CPU kernels cannot be built: {missing}")
    commands: dict[str, Any] = {"build_py": build_py_with(build_info(missing))}
    if missing:
        print(f"scam: CPU kernels not built: {missing}", file=sys.stderr)
        setup(cmdclass=commands)
    else:
        extension, commands["build_ext"] = cpu_extension()
        setup(
            ext_modules=[extension],
            cmdclass=commands,
            # the stable ABI of torch and no Python.h: one wheel for later versions of both
            options={"bdist_wheel": {"py_limited_api": "cp311"}},
        )


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX", "c++"))


def why_not() -> str | None:
    """Say what is missing for a build, if anything."""
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "AMD64"):
        return f"they need Linux on x86-64, this is {platform.system()} on {platform.machine()}"
    if shutil.which(compiler()[0]) is None:
        return f"no C++ compiler ({compiler()[0]}; set CXX)"
    if importlib.util.find_spec("torch") is None:
        return "torch is not importable; install it, then pip install --no-build-isolation"
    import torch

    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < MINIMUM_TORCH:
        return f"torch {torch.__version__} is older than {MINIMUM_TORCH[0]}.{MINIMUM_TORCH[1]}"
    return None


def cpu_extension() -> tuple[Extension, Any]:
    from torch.utils.cpp_extension import BuildExtension, CppExtension

    major, minor = MINIMUM_TORCH
    target = f"-DTORCH_TARGET_VERSION=0x{major:02x}{minor:02x}000000000000"
    extension = CppExtension(
        "scam._C",
        SOURCES,
        depends=HEADERS,
        extra_compile_args={"cxx": [*FLAGS, target]},
        py_limited_api=True,  # neither Python.h nor libtorch_python
    )
    ninja = importlib.util.find_spec("ninja") is not None or shutil.which("ninja") is not None
    return extension, BuildExtension.with_options(no_python_abi_suffix=True, use_ninja=ninja)


def build_info(missing: str | None) -> dict[str, Any]:
    """Describe the build, for `python -m scam.info`."""
    info: dict[str, Any] = {"cpu_kernels": missing is None, "skipped": missing, **revision()}
    if missing is None:
        import torch

        version = subprocess.run([*compiler(), "--version"], capture_output=True, text=True)
        info["torch"] = torch.__version__
        info["compiler"] = next(iter(version.stdout.splitlines()), "unknown")
        info["flags"] = [flag for flag in FLAGS if str(ROOT) not in flag]
    return info


def revision() -> dict[str, Any]:
    def git(*arguments: str) -> str | None:
        if not (ROOT / ".git").exists() or shutil.which("git") is None:
            return None
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    changes = git("status", "--porcelain", "--untracked-files=no")
    return {"git": git("rev-parse", "HEAD"), "dirty": None if changes is None else changes != ""}


def build_py_with(info: dict[str, Any]) -> type[build_py]:
    class BuildPy(build_py):
        def run(self) -> None:
            super().run()
            folder = ROOT if self.editable_mode else Path(self.build_lib)
            (folder / "scam").mkdir(parents=True, exist_ok=True)
            text = json.dumps(info, indent=2) + "\n"
            (folder / "scam" / "_build_info.json").write_text(text)
            if self.editable_mode and not info["cpu_kernels"]:
                # a library of an earlier build would contradict what was just written
                for stale in (ROOT / "scam").glob("_C*.so"):
                    stale.unlink()

    return BuildPy


main()
