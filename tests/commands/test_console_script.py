# SPDX-License-Identifier: Apache-2.0
"""``scam COMMAND``, the script that pip makes of pyproject.toml's entry point."""

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import scam
from scam.commandline.start import ABOUT

ROOT = Path(__file__).resolve().parents[2]
AS_PIP_WRITES_IT = """\
import sys
from {module} import {function}
if __name__ == "__main__":
    sys.exit({function}())
"""
SIGNALS_ON_IMPORT_OF_TORCH = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            default = signal.getsignal(signal.SIGINT) is signal.SIG_DFL
            print(os.environ.get("GOMP_SPINCOUNT"), default, flush=True)
            os._exit(0)

sys.meta_path.insert(0, Finder())
"""
WITHOUT_TORCH = """
import sys
for name in ("torch", "numpy", "PIL"):
    sys.modules[name] = None
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["scam"].partition(":")
    path = tmp_path_factory.mktemp("bin") / "scam"
    path.write_text(AS_PIP_WRITES_IT.format(module=module, function=function))
    return path


def run(*words: object, first: Path | None = None) -> subprocess.CompletedProcess[str]:
    paths = [*([str(first)] if first else []), str(ROOT), *sys.path]
    environment = {name: x for name, x in os.environ.items() if name != "GOMP_SPINCOUNT"}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env=environment | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize("name", ABOUT)
def test_the_list_says_what_help_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    package = f"scam.{name}.__main__"
    home = package if (Path(scam.__file__).parent / name).is_dir() else f"scam.{name}"
    with pytest.raises(SystemExit) as end:
        import_module(home).main(["--help"])
    assert end.value.code == 0
    description = capsys.readouterr().out.split("\n\n")[1]
    assert description.splitlines()[0] == ABOUT[name]


def test_every_command_is_listed() -> None:
    folder = Path(scam.__file__).parent
    files = {p.stem for p in folder.glob("*.py")} - {"__init__", "__main__", "errors", "version"}
    assert set(ABOUT) == files | {path.parent.name for path in folder.glob("*/__main__.py")}


def test_list_version_and_refusal_need_no_torch(script: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_TORCH)
    listed = run(script, first=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    for name, about in ABOUT.items():
        assert f"  {name:10} {about}\n" in listed.stdout
    assert "examples:\n  scam train --amp" in listed.stdout
    for word in ("--help", "help"):
        assert run(script, word, first=tmp_path).stdout == listed.stdout
    assert run(script, "--version", first=tmp_path).stdout == f"scam {scam.__version__}\n"
    for words, advice in (
        (["trian"], "trian: no such command; did you mean train?"),
        (["Train", "--amp"], "Train: no such command; did you mean train?"),
        (["help", "evalute"], "evalute: no such command; did you mean evaluate?"),
        (["load"], f"load: no such command; expected one of {', '.join(ABOUT)}"),
        (["--amp"], "unrecognized arguments: --amp (see --help)"),
    ):
        refused = run(script, *words, first=tmp_path)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == f"scam: error: {advice}\n"
    by_module = run("-m", "scam", "trian", first=tmp_path)
    assert (
        by_module.stderr == "python -m scam: error: trian: no such command; did you mean train?\n"
    )


def test_torch_is_imported_as_by_python_m(script: Path, tmp_path: Path) -> None:
    """With bounded spinning, and Ctrl-C ending the command at once."""
    (tmp_path / "sitecustomize.py").write_text(SIGNALS_ON_IMPORT_OF_TORCH)
    for start in ([script, "info"], ["-m", "scam", "info"], ["-m", "scam.info"]):
        assert run(*start, first=tmp_path).stdout == "20000 True\n", start


def test_help_names_the_command_as_it_was_typed(script: Path) -> None:
    said = {
        "scam data": run(script, "data", "--help"),
        "scam help data": run(script, "help", "data"),
        "python -m scam.data": run("-m", "scam.data", "--help"),
    }
    for done in said.values():
        assert (done.returncode, done.stderr) == (0, "")
    typed, by_module = said["scam data"].stdout, said["python -m scam.data"].stdout
    assert said["scam help data"].stdout == typed
    assert typed.startswith("usage: scam data [-h]")
    assert by_module.startswith("usage: python -m scam.data [-h]")
    assert "\n  scam data check faces\n" in typed
    # The usage line is wrapped, so what follows it is compared.
    rest = by_module.partition("\n\n")[2].replace("python -m scam.data", "scam data")
    assert typed.partition("\n\n")[2] == rest


def test_errors_name_the_command_as_it_was_typed(script: Path, tmp_path: Path) -> None:
    failed = run(script, "data", "check", tmp_path / "nowhere")
    assert failed.returncode == 2
    assert failed.stderr == f"scam data: error: {tmp_path}/nowhere: no such folder\n"
