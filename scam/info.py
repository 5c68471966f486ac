# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.info``: versions, how scam was built, which backends work and why not."""

import json
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from scam import version
from scam.commandline.command import Parser, run
from scam.commandline.start import ABOUT
from scam.ops.summary import summary
from scam.settings import environment
from scam.version import __version__

BUILD_INFO = Path(__file__).with_name("_build_info.json")


def build_info() -> dict[str, object]:
    """What the build wrote beside the package; {} for a package that was never built."""
    return json.loads(BUILD_INFO.read_text()) if BUILD_INFO.is_file() else {}


def report() -> str:
    """The text that ``python -m scam.info`` prints."""
    lines = [
        f"scam      {__version__}",
        f"python    {platform.python_version()} on {platform.platform()}",
        f"torch     {torch.__version__}, {torch.get_num_threads()} threads",
        f"device    {_device()}",
        f"cpu       {torch.backends.cpu.get_cpu_capability()} (PyTorch's choice)",
        f"settings  SCAM_CHECK={int(environment.check())} SCAM_CPU_ISA={environment.cpu_isa()}",
    ]
    lines += [f"untested  {line}" for line in version.outside()]
    built = build_info() or {"built": "no: pure Python, see README.md"}
    lines += ["build"] + [f"  {name}: {value}" for name, value in built.items()]
    return "\n".join(lines + summary(_devices()))


def _devices() -> list[str]:
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def _device() -> str:
    if not torch.cuda.is_available():
        return "no CUDA device"
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the report."""
    parser = Parser(
        prog="python -m scam.info",
        description=ABOUT["info"],
        examples="  python -m scam.info        # paste this into a bug report",
    )
    parser.parse_args(argv)
    print(report())


if __name__ == "__main__":
    run(main, "python -m scam.info")
