# SPDX-License-Identifier: Apache-2.0
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scam.commandline.command import run
from scam.errors import InputError
from scam.semia.__main__ import PROG, main
from scam.semia.commands import evaluate, train
from scam.semia.folder import read_folder
from scam.semia.judge import train_judge
from scam.semia.landscape.example import example
from scam.training.run_folder import RunFolder

DRAWN = example(40, 48)
COUNT = len(DRAWN.names)
FAST = ("--rounds", "1", "--last-rounds", "1")
NETWORK = (
    *(*FAST, "--method", "network", "--width", "4", "--steps", "4", "--save-every", "2"),
    *("--pairs", "4", "--discriminator-width", "4", "--log-every", "1"),
)


def semia(*words: object) -> None:
    main([str(word) for word in words])


def kept(path: Path, pixels: np.ndarray | torch.Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)
    return path


def index_map(path: Path, labels: torch.Tensor) -> Path:
    return kept(path, labels.numpy().astype(np.uint8))


def in_colours(path: Path, labels: torch.Tensor, **other: tuple[int, int, int]) -> Path:
    """``other``: colours of labels that are not as usual, ``label_2=(1, 2, 3)``."""
    table = np.array([[40 * k, 250 - 40 * k, 90] for k in range(COUNT)], np.uint8)
    for name, colour in other.items():
        table[int(name.removeprefix("label_"))] = colour
    return kept(path, table[labels.numpy()])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """image.png, its labels.png, and targets/."""
    folder = tmp_path_factory.mktemp("sources")
    kept(folder / "image.png", DRAWN.image.permute(1, 2, 0))
    index_map(folder / "labels.png", DRAWN.labels)
    for name in ("move", "retarget"):
        index_map(folder / "targets" / f"{name}.png", DRAWN.targets[name])
    return folder


@pytest.fixture(scope="session")
def patches(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``train`` leaves without learning."""
    out = tmp_path_factory.mktemp("patches") / "run"
    semia("train", sources / "image.png", sources / "labels.png", "--out", out, *FAST)
    return out


@pytest.fixture(scope="session")
def network(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("network") / "run"
    semia("train", sources / "image.png", sources / "labels.png", "--out", out, *NETWORK)
    return out


@pytest.fixture
def quick_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(*source: object, **more: object) -> object:
        return train_judge(*source, steps=2, **more)

    monkeypatch.setattr(evaluate, "train_judge", hasty)


class TestTrain:
    def test_patches(self, patches: Path, sources: Path) -> None:
        assert left(patches) == ["config.json", "labels.png", "source.png"]
        assert np.array_equal(pixels(patches / "source.png"), pixels(sources / "image.png"))
        assert np.array_equal(pixels(patches / "labels.png"), DRAWN.labels.numpy())
        config = json.loads((patches / "config.json").read_text())
        assert config["method"] == "patches"
        assert config["patches"]["rounds"] == 1
        assert "training" not in config

    def test_a_network(self, network: Path) -> None:
        assert (network / "checkpoints/latest").read_text().strip() == "step_0000004"
        assert (network / "samples/step_0000004.png").is_file()
        config = json.loads((network / "config.json").read_text())
        assert config["network"]["width"] == 4
        assert config["training"]["steps"] == 4

    def test_without_data_the_example_and_its_targets(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(train, "_EXAMPLE", (40, 48))
        semia("train", "--out", tmp_path / "run", *FAST)
        found = {path.stem for path in (tmp_path / "run/targets").iterdir()}
        assert found == set(DRAWN.targets)
        said = capsys.readouterr().out
        assert re.search(
            r"6 labels \(.* %, .*\), working size 40x48 \(.*\), method patches, cpu", said
        )
        assert f"apply {tmp_path}/run {tmp_path}/run/targets --out EDITED" in said
        semia(
            "apply", tmp_path / "run", tmp_path / "run/targets/move.png", "--out", tmp_path / "o"
        )
        assert pixels(tmp_path / "o/move.png").shape == (40, 48, 3)

    def test_the_working_size_is_said(
        self, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = sources / "image.png", sources / "labels.png"
        semia("train", *source, "--out", tmp_path / "run", "--size", 24)
        assert (
            "working size 20x24 (height x width), the image's own is 40x48"
            in capsys.readouterr().out
        )
        assert pixels(tmp_path / "run/source.png").shape == (20, 24, 3)

    def test_seconds_plan_the_steps(
        self, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scam.semia.plan.seconds_of", lambda _: (0.1, 0.001))
        source = sources / "image.png", sources / "labels.png"
        words = [*FAST, "--method", "network", "--width", "4", "--discriminator-width", "4"]
        semia("train", *source, "--out", tmp_path / "run", *words, "--seconds", "2.4")
        config = json.loads((tmp_path / "run/config.json").read_text())["training"]
        assert 20 <= config["steps"] <= 22
        assert (tmp_path / f"run/checkpoints/step_{config['steps']:07d}").is_dir()

    def test_resume(
        self, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A run that was stopped after step 2 ends as if it had not been."""
        stopped = tmp_path / "a run"
        shutil.copytree(network, stopped)
        shutil.rmtree(stopped / "checkpoints/step_0000004")
        (stopped / "checkpoints/latest").write_text("step_0000002\n")
        semia("train", "--resume", "--out", stopped)
        weights = "checkpoints/step_0000004/model.safetensors"
        assert (stopped / weights).read_bytes() == (network / weights).read_bytes()
        assert f"apply '{stopped}' LABELS" in capsys.readouterr().out
        target = index_map(stopped / "targets/move.png", DRAWN.targets["move"])
        (preview,) = train._previews({"previews": None}, read_folder(stopped))
        assert torch.equal(preview, DRAWN.targets["move"])
        semia("train", "--resume", "--out", stopped, "--steps", 5)
        assert (stopped / "checkpoints/step_0000005").is_dir()
        assert f"apply '{stopped}' '{target.parent}' --out" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["--width", 8], "width is 4 in this run, not 8"),
            (["--method", "patches"], "--method is 'network' in this run, not 'patches'"),
            (["--size", 64], "--size 64: cannot be given with --resume"),
            (["--seconds", 9], "--seconds 9.0: cannot be given with --resume"),
            (["image.png", "labels.png"], "image.png: cannot be given with --resume"),
            (["--as-colours"], "--as-colours: cannot be given with --resume"),
            ([], "has already done 4 steps: give a larger --steps"),
        ],
    )
    def test_what_cannot_be_resumed(
        self, network: Path, words: list[object], expected: str
    ) -> None:
        with pytest.raises(InputError, match=expected):
            semia("train", *words, "--resume", "--out", network)

    def test_patches_are_not_resumed(self, patches: Path) -> None:
        for words in ([], ["--steps", 9]):
            with pytest.raises(
                InputError, match=r"--resume: .* holds patches, which learn nothing"
            ):
                semia("train", "--resume", "--out", patches, *words)

    @pytest.mark.parametrize(
        "flags", [["--steps", 9], ["--width", 9], ["--seconds", 9.0], ["--previews", "a.png"]]
    )
    def test_patches_learn_nothing(
        self, sources: Path, tmp_path: Path, flags: list[object]
    ) -> None:
        source = sources / "image.png", sources / "labels.png"
        expected = f"^{flags[0]} {flags[1]}: expected --method network with it"
        with pytest.raises(InputError, match=expected):
            semia("train", *source, "--out", tmp_path / "run", *flags)
        assert not (tmp_path / "run").exists()

    def test_absent_is_of_previews(self, sources: Path, tmp_path: Path) -> None:
        source = sources / "image.png", sources / "labels.png"
        with pytest.raises(InputError, match=r"^--absent nearest: expected --previews with it"):
            semia("train", *source, "--out", tmp_path / "run", "--absent", "nearest")
        assert not (tmp_path / "run").exists()

    def test_a_folder_is_used_once(self, patches: Path, sources: Path) -> None:
        before = left(patches)
        with pytest.raises(InputError, match=r"^--out .* is not empty"):
            semia("train", sources / "image.png", sources / "labels.png", "--out", patches)
        assert left(patches) == before

    def test_previews_have_to_fit(self, sources: Path, tmp_path: Path) -> None:
        source = sources / "image.png", sources / "labels.png"
        with pytest.raises(
            InputError, match=r"retarget\.png: is 40x64, expected 40x48 \(height x width\)"
        ):
            semia(
                "train", *source, "--out", tmp_path / "run", *NETWORK,
                "--previews", sources / "targets/retarget.png",
            )  # fmt: skip
        assert not (tmp_path / "run").exists()

    def test_what_fails_leaves_nothing(
        self, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise InputError("the disk is full")

        source = sources / "image.png", sources / "labels.png"
        monkeypatch.setattr("scam.semia.learning.write_source", full)
        with pytest.raises(InputError, match="the disk is full"):
            semia("train", *source, "--out", tmp_path / "run", *FAST)
        assert not (tmp_path / "run").exists()


class TestSources:
    """Pictures and label maps that ``train`` refuses: one line, and no folder is left."""

    @staticmethod
    def refused(tmp_path: Path, *files: Path) -> str:
        with pytest.raises(InputError) as error:
            semia("train", *files, "--out", tmp_path / "run")
        assert not (tmp_path / "run").exists()
        assert "\n" not in str(error.value)
        return str(error.value)

    @pytest.fixture
    def image(self, sources: Path) -> Path:
        return sources / "image.png"

    def test_sizes_that_differ(self, tmp_path: Path, image: Path) -> None:
        labels = index_map(tmp_path / "labels.png", DRAWN.labels[:, :40])
        assert f"{labels}: is 40x40, expected 40x48 (height x width)" in self.refused(
            tmp_path, image, labels
        )

    def test_one_label(self, tmp_path: Path, image: Path) -> None:
        labels = index_map(tmp_path / "labels.png", torch.full_like(DRAWN.labels, 3))
        assert "holds one label only (3)" in self.refused(tmp_path, image, labels)

    def test_no_label_map(self, tmp_path: Path, image: Path) -> None:
        assert "give its label map as a second argument" in self.refused(tmp_path, image)

    def test_a_photograph_for_a_label_map(self, tmp_path: Path, image: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
        labels = kept(tmp_path / "labels.png", noise)
        assert "looks like a photograph" in self.refused(tmp_path, image, labels)

    def test_animated(self, tmp_path: Path, image: Path, sources: Path) -> None:
        frames = [Image.fromarray(np.full((40, 48), k, np.uint8)) for k in (0, 200)]
        path = tmp_path / "moving.gif"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        labels = sources / "labels.png"
        assert "is animated (2 frames)" in self.refused(tmp_path, path, labels)
        assert "is animated (2 frames)" in self.refused(tmp_path, image, path)

    def test_16_bits(self, tmp_path: Path, image: Path) -> None:
        """Of a label map they are labels; too many of these are none."""
        deep = np.arange(40 * 48, dtype=np.uint16).reshape(40, 48) * 30
        labels = kept(tmp_path / "labels.png", deep)
        assert "expected an index map" in self.refused(tmp_path, image, labels)

    def test_no_picture(self, tmp_path: Path, image: Path) -> None:
        text = tmp_path / "labels.png"
        text.write_text("labels")
        assert str(text) in self.refused(tmp_path, image, text)
        assert "gone.png" in self.refused(tmp_path, tmp_path / "gone.png", text)
        assert str(tmp_path) in self.refused(tmp_path, image, tmp_path)

    def test_small_ones(self, tmp_path: Path) -> None:
        image = kept(tmp_path / "image.png", DRAWN.image[:, :12].permute(1, 2, 0))
        labels = index_map(tmp_path / "labels.png", DRAWN.labels[:12] + torch.arange(48) // 24)
        said = self.refused(tmp_path, image, labels)
        assert "image: is 12x48 (height x width), expected 16 pixels a side or more" in said


class TestApply:
    def test_a_folder_of_targets(
        self, patches: Path, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        semia("apply", patches, sources / "targets", "--out", tmp_path / "o")
        assert left(tmp_path / "o") == ["move.png", "retarget.png", "sheet.png"]
        assert pixels(tmp_path / "o/move.png").shape == (40, 48, 3)
        assert pixels(tmp_path / "o/retarget.png").shape == (40, 64, 3)
        assert (
            "retarget.png: is 40x64, the source 40x48 (height x width)" in capsys.readouterr().out
        )

    def test_beside_smaller_cells_the_sheet_is_white(
        self, patches: Path, sources: Path, tmp_path: Path
    ) -> None:
        semia("apply", patches, sources / "targets", "--out", tmp_path / "o")
        columns = (pixels(tmp_path / "o/sheet.png") == 255).all(axis=(0, 2)).nonzero()[0]
        runs = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
        wide = [run for run in runs if len(run) > 16]
        assert len(wide) == 2, "right of the source and of its label map, the same in all rows"

    def test_the_own_label_map_gives_the_source(
        self, patches: Path, sources: Path, tmp_path: Path
    ) -> None:
        semia("apply", patches, sources / "labels.png", "--out", tmp_path / "o")
        assert np.array_equal(pixels(tmp_path / "o/labels.png"), pixels(sources / "image.png"))

    def test_a_network(self, network: Path, sources: Path, tmp_path: Path) -> None:
        for out in ("one", "two"):
            semia("apply", network, sources / "targets", "--out", tmp_path / out)
        for name in ("move.png", "retarget.png"):
            assert np.array_equal(pixels(tmp_path / "one" / name), pixels(tmp_path / "two" / name))
        assert pixels(tmp_path / "one/retarget.png").shape == (40, 64, 3)

    def test_at_a_working_size(self, sources: Path, tmp_path: Path) -> None:
        source = sources / "image.png", sources / "labels.png"
        semia("train", *source, "--out", tmp_path / "run", *FAST, "--size", 36)
        semia("apply", tmp_path / "run", sources / "targets", "--out", tmp_path / "o")
        assert pixels(tmp_path / "o/move.png").shape == (30, 36, 3)
        assert pixels(tmp_path / "o/retarget.png").shape == (30, 48, 3)

    def test_nothing_is_overwritten_unasked(
        self, patches: Path, sources: Path, tmp_path: Path
    ) -> None:
        words = "apply", patches, sources / "targets/move.png", "--out", tmp_path / "o"
        semia(*words)
        with pytest.raises(InputError, match=r"move\.png: already exists.*--overwrite"):
            semia(*words)
        semia(*words, "--overwrite")

    def test_nothing_that_is_read_is_overwritten(
        self, patches: Path, sources: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(sources / "targets", tmp_path / "targets")
        before = pixels(tmp_path / "targets/move.png")
        for target in (tmp_path / "targets/move.png", tmp_path / "targets"):
            with pytest.raises(InputError, match="is one of the files to read"):
                semia("apply", patches, target, "--out", tmp_path / "targets", "--overwrite")
        with pytest.raises(InputError, match="is one of the files to read"):
            semia("apply", patches, sources / "labels.png", "--out", patches, "--overwrite")
        assert np.array_equal(pixels(tmp_path / "targets/move.png"), before)

    def test_names_are_taken_once(self, patches: Path, sources: Path, tmp_path: Path) -> None:
        same = index_map(tmp_path / "more/move.png", DRAWN.labels)
        sheet = index_map(tmp_path / "sheet.png", DRAWN.labels)
        for target in (same, sheet):
            with pytest.raises(InputError, match=r"has the name of .*; expected another"):
                semia("apply", patches, sources / "targets", target, "--out", tmp_path / "o")
        assert not (tmp_path / "o").exists()

    def test_labels_that_the_source_lacks(
        self, patches: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        labels = DRAWN.labels.clone()
        labels[:4] = 77
        target = index_map(tmp_path / "t.png", labels)
        with pytest.raises(
            InputError, match=r"t\.png: holds .* lacks: 77 \(10 %\).*--absent nearest"
        ):
            semia("apply", patches, target, "--out", tmp_path / "o")
        assert not (tmp_path / "o").exists()
        semia("apply", patches, target, "--out", tmp_path / "o", "--absent", "nearest")
        assert "77 (10 %)" in capsys.readouterr().out
        assert pixels(tmp_path / "o/t.png").shape == (40, 48, 3)

    def test_colours(self, sources: Path, tmp_path: Path) -> None:
        labels = in_colours(tmp_path / "labels.png", DRAWN.labels)
        semia("train", sources / "image.png", labels, "--out", tmp_path / "run", *FAST)
        target = in_colours(tmp_path / "t.png", DRAWN.targets["move"])
        semia("apply", tmp_path / "run", target, "--out", tmp_path / "o")
        strange = in_colours(tmp_path / "s.png", DRAWN.targets["move"], label_0=(255, 0, 255))
        with pytest.raises(InputError, match=r"s\.png: holds .* lacks: #ff00ff \(.* %\)"):
            semia("apply", tmp_path / "run", strange, "--out", tmp_path / "o2")
        grey = index_map(tmp_path / "g.png", DRAWN.labels)
        with pytest.raises(InputError, match=r"g\.png: "):
            semia("apply", tmp_path / "run", grey, "--out", tmp_path / "o2")
        assert not (tmp_path / "o2").exists()

    def test_no_target(self, patches: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="expected at least one label map"):
            semia("apply", patches, tmp_path / "empty", "--out", tmp_path / "o")
        with pytest.raises(InputError, match="gone"):
            semia("apply", patches, tmp_path / "gone", "--out", tmp_path / "o")
        with pytest.raises(SystemExit):
            semia("apply", patches, "--out", tmp_path / "o")

    def test_small_targets(self, patches: Path, tmp_path: Path) -> None:
        target = index_map(tmp_path / "t.png", DRAWN.labels[:9])
        with pytest.raises(InputError, match=r"t\.png: .*9x48 .* expected 16 pixels a side"):
            semia("apply", patches, target, "--out", tmp_path / "o")
        assert not (tmp_path / "o").exists()

    def test_no_folder_of_semia(self, patches: Path, sources: Path, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "gone", sources / "image.png"):
            with pytest.raises(InputError, match=r"expected a folder of scam\.semia"):
                semia("apply", folder, sources / "targets", "--out", tmp_path / "o")
        RunFolder.start(tmp_path / "run", {"model": {"kind": "scam"}})
        with pytest.raises(InputError, match=r"run: holds a model of scam\.train, expected a"):
            semia("apply", tmp_path / "run", sources / "targets", "--out", tmp_path / "o")
        RunFolder.start(tmp_path / "other", {"kind": "scam"})
        with pytest.raises(InputError, match=r"expected the settings of scam\.semia"):
            semia("apply", tmp_path / "other", sources / "targets", "--out", tmp_path / "o")

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("patches", {"patch": 4}), ("patches", 3), ("patches", None), ("source", None),
            ("source", {}), ("method", "magic"), ("method", "network"),
            ("source", {"vocabulary": {"kind": "index", "values": [0, 1]}, "own_size": [0, 9]}),
        ],
    )  # fmt: skip
    def test_settings_that_were_edited(
        self, patches: Path, sources: Path, tmp_path: Path, key: str, value: object
    ) -> None:
        shutil.copytree(patches, tmp_path / "run")
        path = tmp_path / "run/config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        with pytest.raises(InputError, match=r"config\.json: "):
            semia("apply", tmp_path / "run", sources / "targets", "--out", tmp_path / "o")

    def test_files_that_are_gone(self, patches: Path, sources: Path, tmp_path: Path) -> None:
        for name in ("source.png", "labels.png"):
            shutil.copytree(patches, tmp_path / name)
            (tmp_path / name / name).unlink()
            with pytest.raises(InputError, match=name):
                semia("apply", tmp_path / name, sources / "targets", "--out", tmp_path / "o")


@pytest.mark.usefixtures("quick_judge")
class TestEvaluate:
    @pytest.mark.parametrize("method", ["patches", "network"])
    def test_a_report(
        self, method: str, request: pytest.FixtureRequest, sources: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        folder = request.getfixturevalue(method)
        semia("evaluate", folder, sources / "targets", "--out", tmp_path / "o")
        table = capsys.readouterr().out
        for word in ("accuracy", "coherence", "patches", "collage", method):
            assert word in table
        report = json.loads((tmp_path / "o/evaluation.json").read_text())
        assert report["method"] == method
        assert set(report["rows"]) == {method, "patches", "collage"}
        for rows in report["rows"].values():
            assert len({row["what"] for row in rows}) == 3
        with pytest.raises(InputError, match="--overwrite"):
            semia("evaluate", folder, sources / "targets", "--out", tmp_path / "o")

    def test_at_a_working_size(self, sources: Path, tmp_path: Path) -> None:
        """Targets of another size are scaled once."""
        source = sources / "image.png", sources / "labels.png"
        semia("train", *source, "--out", tmp_path / "run", *FAST, "--size", 36)
        semia("evaluate", tmp_path / "run", sources / "targets")
        assert (tmp_path / "run/evaluation.json").is_file()

    def test_equal_names_are_two_results(
        self, patches: Path, sources: Path, tmp_path: Path
    ) -> None:
        other = index_map(tmp_path / "more/move.png", DRAWN.targets["remove"])
        target = sources / "targets/move.png"
        semia("evaluate", patches, target, other, "--out", tmp_path / "o")
        report = json.loads((tmp_path / "o/evaluation.json").read_text())
        assert len({row["what"] for row in report["rows"]["patches"]}) == 3

    def test_small_targets(self, patches: Path, tmp_path: Path) -> None:
        target = index_map(tmp_path / "t.png", DRAWN.labels[:9])
        with pytest.raises(InputError, match=r"t\.png: .*9x48 .* expected 16 pixels a side"):
            semia("evaluate", patches, target, "--out", tmp_path / "o")

    def test_labels_that_the_source_lacks(self, patches: Path, tmp_path: Path) -> None:
        target = index_map(tmp_path / "t.png", DRAWN.labels + 7)
        with pytest.raises(InputError, match=r"t\.png: holds labels that the source lacks"):
            semia("evaluate", patches, target, "--out", tmp_path / "o")


def test_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["semia", "apply", str(tmp_path), "x.png", "--out", "o"])
    with pytest.raises(SystemExit) as end:
        run(main, PROG)
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"{PROG}: error: {tmp_path}: expected a folder of scam.semia")
    assert said.err.count("\n") == 1


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"nope: does not exist, expected a folder of scam\.semia"
    ):
        semia("apply", tmp_path / "nope", "x.png", "--out", tmp_path / "o")


@pytest.mark.parametrize("command", ["train", "apply", "evaluate"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        semia(command, "--help")
    assert end.value.code == 0
    assert f"usage: {PROG} {command}" in capsys.readouterr().out
