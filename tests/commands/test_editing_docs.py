# SPDX-License-Identifier: Apache-2.0
"""What docs/editing.md and the commands' --help show is run as it stands there."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scam import attention, evaluate, styles, transfer
from scam.checkpoints import step_folders
from scam.data import LABEL_SETS, Mannequins
from scam.models import Scam, ScamConfig
from scam.models.checkpoint import describe_labels

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "editing.md").read_text()
COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "transfer": transfer.main,
    "styles": styles.main,
    "attention": attention.main,
}


@pytest.fixture(autouse=True)
def small_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and a smaller ``demo``, not trained at all: that one is slow."""
    config = ScamConfig.preset("tiny", num_labels=len(LABEL_SETS["mannequins"]), size=(32, 32))
    torch.manual_seed(0)
    model = Scam(config)
    model.about = {**describe_labels(Mannequins("val")), "trained": {"data": "mannequins"}}
    model.save_pretrained(tmp_path / "model")
    monkeypatch.setattr(step_folders, "_DEMO_FOLDER", tmp_path / "model")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def code(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Words of the commands of a page, or of ``--help``, but for how each is started."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [re.fullmatch(r"(?:scam | *python -m scam\.)(.+)", line) for line in lines]
    return [shlex.split(command[1]) for command in found if command]


def all_help(capsys: pytest.CaptureFixture[str]) -> str:
    for main in COMMANDS.values():
        with pytest.raises(SystemExit):
            main(["--help"])
    for command in styles.COMMANDS:
        with pytest.raises(SystemExit):
            styles.main([command, "--help"])
    return capsys.readouterr().out


def test_every_command_that_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """But for those with photographs of one's own."""
    run = commands("\n".join(code("sh")))
    run += [words for words in commands(all_help(capsys)) if "runs/photos" not in words]
    assert {words[0] for words in run} == COMMANDS.keys()
    for words in {tuple(words): words for words in run}.values():
        COMMANDS[words[0]](words[1:])
        for flag in ("--out", "--sheet", "--npz"):
            if flag in words:
                assert Path(words[words.index(flag) + 1]).exists()
    assert len(list(Path("everywhere").glob("*.png"))) == 64
    assert "2 styles" in capsys.readouterr().out


def test_python() -> None:
    for block in code("python"):
        exec(compile(block, "editing.md", "exec"), {})
    assert Path("bert.safetensors").is_file()


def test_every_flag_that_is_shown_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = all_help(capsys)
    with pytest.raises(SystemExit):
        evaluate.main(["--help"])
    listed = re.findall(r"^  (--[a-z-]+)", known + capsys.readouterr().out, flags=re.MULTILINE)
    examples = {word for words in commands(known) for word in words if word.startswith("--")}
    assert {"--donor", "--only", "--picture"} <= examples
    assert examples | set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= set(listed)
