# SPDX-License-Identifier: Apache-2.0
"""What docs/sharing.md shows is run as it stands there."""

import re
import shlex
from pathlib import Path

import pytest

import scam
from scam import export, train, transfer
from scam.errors import InputError

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sharing.md").read_text()
COMMANDS = {"transfer": transfer.main, "export": export.main}


# Exporting traces both networks, a minute; tests/models/test_exported_programs.py does it smaller.
@pytest.mark.parametrize("exports", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
def test_the_page_from_top_to_bottom(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    exports: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    for language, block in re.findall(r"```(python|sh)\n(.*?)```", PAGE, flags=re.DOTALL):
        if "export" in block and not exports:
            continue
        if language == "python":
            exec(compile(block, "sharing.md", "exec"), {})
            continue
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line)[1:]
            if "--no-fused-sca" not in words:  # tested with the programs themselves
                COMMANDS[words[0]](words[1:])
    if exports:
        exported = sorted(path.name for path in Path("exported").iterdir())
        assert exported == ["config.json", "encoder.pt2", "generator.pt2"]
        said = capsys.readouterr().out.partition("from the model's by at most ")[2]
        assert float(said.split()[0]) < 1e-5
    card = (tmp_path / "shared" / "README.md").read_text()
    demo = (Path(scam.__file__).parent / "demo" / "README.md").read_text()
    assert demo.replace("license: apache-2.0\n", "", 1).startswith(card)
    assert "| data | mannequins |" in card
    assert re.search(r"\| held-out psnr \| \d", card)
    assert str(tmp_path) not in card


def test_a_used_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("do not lose me")
    with pytest.raises(InputError, match="expected a new or empty folder"):
        export.main(["demo", "--out", str(tmp_path)])
    assert (tmp_path / "mine").read_text() == "do not lose me"


def test_a_folder_that_cannot_be_made_is_refused_before_long_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file, expected a folder"):
        export.main(["no checkpoint is looked for yet", "--out", str(tmp_path / "file" / "out")])


def test_every_flag_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for main in (train.main, *COMMANDS.values()):
        with pytest.raises(SystemExit):
            main(["--help"])
    known = capsys.readouterr().out
    for flag in set(re.findall(r"--[a-z][a-z-]+", PAGE)):
        assert re.search(rf"{flag}\b", known), flag
