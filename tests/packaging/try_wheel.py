# SPDX-License-Identifier: Apache-2.0
"""Install a wheel into an environment without a compiler, and use it: part of ``make wheel``.

``python tests/packaging/try_wheel.py dist/NAME.whl`` takes torch from the Python that runs it;
``--torch 2.10.0`` downloads that one and everything that the wheel requires.
"""

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCHVISION = 15  # torch 2.N goes with torchvision 0.(N + 15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, metavar="WHEEL")
    parser.add_argument("--torch", metavar="VERSION", help="default: that of this Python")
    parser.add_argument("--env", type=Path, help="environment to use (default: a temporary one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="try_wheel_") as work:
        env = (args.env or Path(work) / "env").absolute()
        if not env.exists():
            venv.create(env, with_pip=True)
        install(env / "bin" / "python", args.wheel.resolve(), args.torch)
        use(env, Path(work))
    print(f"{args.wheel.name}: works under Python {sys.version.split()[0]}")


def install(python: Path, wheel: Path, torch: str | None) -> None:
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if torch is None:
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = subprocess.check_output([python, "-c", code], text=True).strip()
        Path(site, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    else:
        vision = f"0.{int(torch.split('.')[1]) + TORCHVISION}.*"
        subprocess.run([*pip, f"torch=={torch}", f"torchvision=={vision}"], check=True)
        subprocess.run([*pip, wheel], check=True)
    # An environment that is used again may hold an earlier build of the same version.
    subprocess.run([*pip, "--no-deps", "--force-reinstall", wheel], check=True)


def use(env: Path, work: Path) -> None:
    """README's first example, scam info, two steps of training and a transfer."""
    variables = {
        name: os.environ[name] for name in ("HOME", "OMP_NUM_THREADS") if name in os.environ
    }
    variables |= {"PATH": str(env / "bin")}  # no compiler

    def run(*words: str) -> str:
        done = subprocess.run(
            [env / "bin" / words[0], *words[1:]], cwd=work, env=variables, text=True,
            capture_output=True,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}: status {done.returncode}\n{done.stderr}")
        return done.stdout

    home = run("python", "-c", "import scam; print(scam.__file__)")
    expect(home.startswith(str(env)), f"scam was imported from {home}")
    info = run("scam", "info")
    print(info)
    expect("cpu_kernels: True" in info, "the CPU kernels were not built")
    expect("cpu on cpu: no" not in info, "the CPU kernels do not load")
    example = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    run("python", "-W", "error::RuntimeWarning", "-c", example)
    run("scam", "train", "--steps", "2", "--batch-size", "2", "--out", "run")
    names = ["--subject", "mannequin_val_00003", "--background", "mannequin_val_00007"]
    run("scam", "transfer", "run", *names, "--out", "transfer.png")
    expect((work / "transfer.png").is_file(), "no transfer.png")


def expect(truth: bool, what: str) -> None:
    if not truth:
        raise SystemExit(what)


if __name__ == "__main__":
    main()
