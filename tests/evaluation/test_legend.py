# SPDX-License-Identifier: Apache-2.0
"""What is said below a table, and what metrics need of others."""

import hashlib
import re
from pathlib import Path

import pytest
import torch
import torchvision

from scam import evaluate
from scam.evaluation.legend import legend, table
from scam.evaluation.needs import needs_text
from scam.evaluation.rows import Row, render
from scam.pretrained.published import LPIPS_TRUNKS, PUBLISHED, VGG19, Published
from scam.pretrained.weights import warn_of_mismatch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evaluate.md"


def cycle(away: float, stayed: float) -> list[Row]:
    return [
        Row("cycle", f"A to {via} to A, pooled", value, "dB", 64)
        for via, value in (("B", away), ("A", stayed))
    ]


def psnr(model: float, n: int = 64) -> list[Row]:
    return [
        Row("psnr", "reconstruction, pooled", model, "dB", n),
        Row("psnr", "flat colours, pooled", 15.0, "dB", n),
    ]


def test_a_usual_table_explains_its_arrows_only() -> None:
    assert len(legend([*psnr(16), *cycle(16, 17)])) == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (cycle(17, 16), "cycle: A to A to A is not an upper bound"),
        (psnr(14), "psnr: the reconstructions are worse than flat colours"),
        (psnr(16, 3), "3 images are few: a different choice"),
        ([Row("kid", "x", -0.001, n=64)], "kid: the estimate is unbiased"),
        (
            [Row("fid", "R", 2.0, n=64), Row("fid", "real pictures themselves", 3.0, n=64)],
            "fid: generated images can be closer",
        ),
    ],
)
def test_surprises_are_explained(rows: list[Row], words: str) -> None:
    assert legend(rows)[1].startswith(words)


def test_rounds_of_cost_are_no_pictures() -> None:
    assert legend([*psnr(16, 3), Row("cost", "transfer", 1.0, n=10)])[1].startswith("3 images")


def test_what_lacks_stands_in_place_of_the_value() -> None:
    note = f"no weights: put {LPIPS_TRUNKS['alex']} into ~/x or name it as --lpips-weights"
    rows = [
        Row("lpips", "LPIPS", None, note=note, lack="no weights"),
        Row("ssim", "SSIM", None, note="not installed: torchmetrics", lack="not installed"),
        Row("transfer", "PSNR", None, note="of no drawn truth"),
    ]
    lines = render(rows).splitlines()
    assert [bool(re.search(word, line)) for word, line in zip(
        ("  no weights  ", "  not installed  ", "  missing  "), lines[1:], strict=True
    )] == [True] * 3  # fmt: skip
    assert table(rows).splitlines()[-1] == PUBLISHED[LPIPS_TRUNKS["alex"]].source
    assert "lack" not in rows[0].as_dict()


def test_published_files_are_torchvision_s() -> None:
    models = torchvision.models
    for name, weights in (
        (LPIPS_TRUNKS["alex"], models.AlexNet_Weights),
        (LPIPS_TRUNKS["vgg"], models.VGG16_Weights),
        (VGG19, models.VGG19_Weights),
    ):
        assert PUBLISHED[name].url == weights.IMAGENET1K_V1.url
        assert PUBLISHED[name].sha256.startswith(name.split("-")[-1].removesuffix(".pth"))
    for file in PUBLISHED.values():
        assert re.fullmatch(r"([0-9a-f]{8}|[0-9a-f]{64})?", file.sha256)
        assert file.url.startswith("https://")


def test_the_page_has_every_file_and_its_digest() -> None:
    page = PAGE.read_text()
    for file in PUBLISHED.values():
        row = next(line for line in page.splitlines() if line.startswith(f"| [`{file.name}`]"))
        assert f"`{file.sha256[:8]}`" in row or not file.sha256
        assert f": {file.url}\n" in page


def test_weights_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(SystemExit) as end:
        evaluate.main(["--weights"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    for file in PUBLISHED.values():
        assert re.search(rf"^{re.escape(file.name)} +no weights +\S", said, re.MULTILINE)
        assert file.url in said
    assert re.search(r"^dinov2 +not installed +fd$", said, re.MULTILINE)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / VGG19).write_bytes(b"cut short")
    (tmp_path / "checkpoints" / "lup_moco_r50.pth").touch()
    assert re.search(rf"^{VGG19} +another file", needs_text(), re.MULTILINE)
    assert re.search(r"^lup_moco_r50.pth +here", needs_text(), re.MULTILINE)


def test_another_file_of_a_published_name_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / VGG19
    path.write_bytes(b"cut short")
    with pytest.warns(UserWarning, match="that of the published file with dcbb9e9d"):
        warn_of_mismatch(path)
    digest = hashlib.sha256(b"cut short").hexdigest()
    right = Published(VGG19, "VGG-19", "", "https://x", digest[:8])
    monkeypatch.setitem(PUBLISHED, VGG19, right)
    warn_of_mismatch(path)
    warn_of_mismatch(tmp_path / "own.pth")
