# SPDX-License-Identifier: Apache-2.0
"""Build logic only; the metadata is in pyproject.toml.

SCAM_BUILD_CPU=auto|1|0 decides about the CPU kernels (scam/_C.so). `auto` builds them where a
C++ compiler and torch are found and otherwise installs pure Python; `1` makes that an error; `0`
never builds. A compiler that fails is always an error.
SCAM_BUILD_CUDA decides likewise about the CUDA kernels (scam/_cuda.*.so), which need nvcc (in PATH
or CUDA_HOME), ninja and pybind11, but neither torch nor a GPU. SCAM_CUDA_TARGETS=sm_90, or several
with commas between, builds for these only, which takes less time.
"""

import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import Distribution, Extension, find_namespace_packages, find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
KERNELS = "scam._kernels"  # the folder kernels/, see scam/kernels/__init__.py
PACKAGES = [
    *find_packages(include=["scam", "scam.*"]),
    KERNELS,
    *(f"{KERNELS}.{name}" for name in find_namespace_packages("kernels")),
]
MINIMUM_TORCH = (2, 10)
BINDINGS = "csrc/pybind_cuda.cpp"
SOURCES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("csrc/**/*.cpp"))
SOURCES.remove(BINDINGS)
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
# Machine code for these, as far as nvcc knows them; other GPUs translate what is portable for 9.0.
TARGETS = {
    "arch=compute_80,code=sm_80": (12, 0),
    "arch=compute_90,code=[sm_90,compute_90]": (12, 0),
    "arch=compute_100,code=sm_100": (12, 8),
}
CUDA_FLAGS = ["-std=c++17", "-O3", "-Xcompiler=-fPIC,-fvisibility=hidden", "-cudart=static"]


def main() -> None:
    no_cpu, no_cuda = decide("CPU", why_not()), decide("CUDA", why_not_cuda())
    options: dict[str, Any] = {"packages": PACKAGES, "cmdclass": {}}
    if no_cpu is None:
        extension, options["cmdclass"]["build_ext"] = cpu_extension()
        options["ext_modules"] = [extension]
    if no_cuda is None:
        # machine code for one Python version, with or without ext_modules
        options["distclass"] = type("Binary", (Distribution,), {"has_ext_modules": lambda _: True})
    elif no_cpu is None:
        options["cmdclass"]["bdist_wheel"] = for_any_python()
    options["cmdclass"]["build_py"] = build_py_with(build_info(no_cpu, no_cuda))
    setup(**options)


def for_any_python() -> type[Any]:
    """The library calls torch's stable ABI and nothing of Python: one wheel for all versions.

    Not abi3, which free-threaded Pythons refuse. ``make wheel`` names an older platform.
    """
    from setuptools.command.bdist_wheel import bdist_wheel

    class ForAnyPython(bdist_wheel):
        def get_tag(self) -> tuple[str, str, str]:
            return "py3", "none", super().get_tag()[2]

    return ForAnyPython


def decide(name: str, missing: str | None) -> str | None:
    variable = f"SCAM_BUILD_{name}"
    switch = os.environ.get(variable, "auto")
    if switch not in ("auto", "0", "1"):
        raise SystemExit(f"{variable} must be auto, 1 or 0, got {switch!r}")
    if switch == "0":
        missing = f"{variable}=0"
    elif missing and switch == "1":
        raise SystemExit(f"{variable}=1, but the {name} kernels cannot be built: {missing}")
    if missing:
        print(f"scam: {name} kernels not built: {missing}", file=sys.stderr)
    return missing


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


def nvcc() -> str | None:
    home = os.environ.get("CUDA_HOME")
    return shutil.which("nvcc", path=str(Path(home) / "bin") if home else None)


def nvcc_version() -> tuple[int, int]:
    """Of the nvcc found; the least that is supported where it does not say."""
    said = subprocess.run([nvcc() or "nvcc", "--version"], capture_output=True, text=True).stdout
    found = re.search(r"release (\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (12, 0)


def cuda_targets() -> list[str]:
    """Those of ``TARGETS`` that nvcc knows and ``SCAM_CUDA_TARGETS`` names."""
    version, known = nvcc_version(), {re.findall(r"sm_\d+", t)[0]: t for t in TARGETS}
    given = os.environ.get("SCAM_CUDA_TARGETS", ",".join(known)).split(",")
    if unknown := set(given) - known.keys():
        raise SystemExit(
            f"SCAM_CUDA_TARGETS: expected some of {', '.join(known)}, got {', '.join(unknown)}"
        )
    return [known[name] for name in given if version >= TARGETS[known[name]]]


def why_not_cuda() -> str | None:
    tools = {name: importlib.util.find_spec(name) for name in ("ninja", "pybind11")}
    tools |= {"C++ compiler": shutil.which(compiler()[0]), "nvcc (in PATH or CUDA_HOME)": nvcc()}
    return ", ".join(f"no {name}" for name, found in tools.items() if not found) or None


def build_cuda(folder: Path) -> None:
    import ninja
    import pybind11

    work = ROOT / "build" / "cuda"
    work.mkdir(parents=True, exist_ok=True)
    python = f"-I{pybind11.get_include()} -I{sysconfig.get_path('include')}"
    targets = [f"-gencode={target}" for target in cuda_targets()]
    cuda = shlex.join([nvcc() or "nvcc", "-ccbin", compiler()[0], *CUDA_FLAGS, *targets])
    lines = [
        f"rule cuda\n command = {cuda} -I{ROOT}/kernels -MD -MF $out.d -c $in -o $out\n"
        " depfile = $out.d",
        f"rule host\n command = {shlex.join(compiler())} -std=c++17 -O1 -fPIC -fvisibility=hidden "
        f"-DSCAM_CUDA_MODULE=_cuda -I{ROOT}/kernels {python} -MMD -MF $out.d -c $in -o $out\n"
        " depfile = $out.d",
        f"rule link\n command = {cuda} -shared $in -o $out",
        f"build pybind.o: host {ROOT / BINDINGS}",
    ]
    sources = sorted(ROOT.glob("kernels/sca_cuda/*.cu"))
    lines += [f"build {source.stem}.o: cuda {source}" for source in sources]
    objects = ["pybind.o", *(f"{source.stem}.o" for source in sources)]
    lines += [
        f"build {folder}/_cuda{sysconfig.get_config_var('EXT_SUFFIX')}: link {' '.join(objects)}"
    ]
    (work / "build.ninja").write_text("\n".join(lines) + "\n")
    subprocess.run([Path(ninja.BIN_DIR) / "ninja", "-C", work], check=True)


def build_info(no_cpu: str | None, no_cuda: str | None) -> dict[str, Any]:
    """Describe the build, for `python -m scam.info`."""
    info: dict[str, Any] = {"cpu_kernels": no_cpu is None, "skipped": no_cpu, **revision()}
    info |= {"cuda_kernels": no_cuda is None, "cuda_skipped": no_cuda}
    if no_cpu is None:
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
            if info["cuda_kernels"]:
                build_cuda((folder / "scam").resolve())
            for kind, pattern in (("cpu", "_C*.so"), ("cuda", "_cuda*.so")):
                if self.editable_mode and not info[f"{kind}_kernels"]:
                    # a library of an earlier build would contradict what was just written
                    for stale in (ROOT / "scam").glob(pattern):
                        stale.unlink()

    return BuildPy


main()
