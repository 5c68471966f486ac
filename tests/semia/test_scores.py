# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scam.errors import InputError
from scam.evaluation.report import write_report
from scam.evaluation.rows import Row
from scam.pretrained.features import Inception, InceptionStem
from scam.pretrained.published import INCEPTION
from scam.semia.judge import Judge, train_judge
from scam.semia.scores import METRICS, Scorer, means, side_by_side

SIZE = (25, 34)


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Weights that this machine may happen to have are not found."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


def source() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.arange(SIZE[1]) >= 17).long().expand(1, *SIZE).contiguous()
    noise = torch.rand(1, 3, *SIZE, generator=generator) - 0.5
    return noise + labels[:, None] * 0.4 - 0.2, labels


@pytest.fixture(scope="module")
def judge() -> Judge:
    return train_judge(*source(), 2, lambda _: source(), steps=20)


def by_metric(rows: list[Row]) -> dict[str, Row]:
    assert [row.metric for row in rows] == list(METRICS)
    return {row.metric: row for row in rows}


def test_the_source_itself_is_perfect(judge: Judge) -> None:
    rows = by_metric(Scorer(*source(), judge).rows("as it is", *source()))
    assert rows["accuracy"].value == judge.source.accuracy
    assert rows["miou"].value == judge.source.mean_iou
    assert rows["coherence"].value == rows["completeness"].value == 0
    assert rows["unedited"].value == 0
    assert rows["unedited"].note == "100% of pixels"
    assert rows["psnr"].value == float("inf")
    assert rows["sifid"].value is None
    assert INCEPTION in rows["sifid"].note


def test_ssim_is_there_or_says_why_not(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = Scorer(*source(), judge)

    def missing(name: str) -> None:
        raise ImportError(name)

    with monkeypatch.context() as patch:
        patch.setattr("importlib.import_module", missing)
        row = by_metric(scorer.rows("a", *source()))["ssim"]
    assert row.value is None
    assert "torchmetrics" in row.note
    pytest.importorskip("torchmetrics")
    assert by_metric(scorer.rows("a", *source()))["ssim"].value == pytest.approx(1)


def test_under_another_layout(judge: Judge) -> None:
    image, labels = source()
    result = image.clone()
    result[..., :10] += 0.1
    target = labels.clone()
    target[..., :17] = 1
    target[..., :9] = -1
    rows = by_metric(Scorer(image, labels, judge).rows("edit", result, target))
    assert rows["unedited"].value == pytest.approx(0, abs=1e-6)
    assert rows["unedited"].note == "50% of pixels"
    assert rows["psnr"].value is None
    assert rows["psnr"].note == rows["ssim"].note == "the label map is changed"
    assert rows["coherence"].note == "without labels 0: patches in one image at most"


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda x: x[..., 3:], "the size is changed"), (lambda x: 1 - x, "every label is changed")],
)
def test_nothing_is_unedited(judge: Judge, change: Callable[[Tensor], Tensor], words: str) -> None:
    image, labels = source()
    target = change(labels)
    rows = by_metric(Scorer(image, labels, judge).rows("a", image[..., : target.shape[2]], target))
    assert rows["unedited"].value is None
    assert rows["unedited"].note == words


def test_sifid(judge: Judge, inception_weights: Path) -> None:
    image, labels = source()
    scorer = Scorer(image, labels, judge, inception_weights)
    values = [
        by_metric(scorer.rows("a", changed, labels))["sifid"].value
        for changed in (image, image.flip(3), image * 0.5)
    ]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert None not in values
    assert values[2] > 10 * abs(values[0])


def test_sifid_reads_the_layers_of_fid(inception_weights: Path) -> None:
    """At FID's own size their means are the 64 features that torch-fidelity gives."""
    pictures = torch.randint(256, (1, 3, 299, 299), dtype=torch.uint8)
    network = Inception(inception_weights).network
    network.features_list = ["64"]
    with torch.no_grad():
        found = InceptionStem(inception_weights).eval()(pictures)
        (wanted,) = network(pictures)
    assert found.shape == (1, 64, 73, 73)
    torch.testing.assert_close(found.mean((2, 3)), wanted)


def test_weights_that_are_not_there(judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Scorer(*source(), judge, tmp_path / "none.pth")


def test_small_images(judge: Judge) -> None:
    image, labels = source()
    scorer = Scorer(image, labels, judge)
    with pytest.raises(InputError, match="expected 16 pixels a side"):
        scorer.rows("a", image[..., :15], labels[..., :15])
    with pytest.raises(InputError, match="expected shapes"):
        scorer.rows("a", image, labels[..., :20])


def test_table_and_report(judge: Judge, tmp_path: Path) -> None:
    image, labels = source()
    scorer = Scorer(image, labels, judge)
    rows = [
        *scorer.rows("same", image, labels),
        *scorer.rows("wider", torch.cat([image] * 2, 3), torch.cat([labels] * 2, 2)),
    ]
    averages = {row.metric: row for row in means(rows)}
    accuracies = [row.value for row in rows if row.metric == "accuracy" and row.value is not None]
    assert averages["accuracy"].value == pytest.approx(sum(accuracies) / 2)
    assert averages["accuracy"].n == 2
    assert averages["psnr"].n == 1
    assert "sifid" not in averages
    everything = [*scorer.ceilings(), *rows, *averages.values()]
    lines = side_by_side({"ours": rows, "theirs": rows[: len(METRICS)]}).splitlines()
    assert lines[0].split() == ["ours", "theirs"]
    assert [line.split()[0] for line in lines[1:]] == list(METRICS)
    assert lines[-1].split()[1:3] == ["-", "-"]
    write_report(tmp_path, scorer.facts(), everything, overwrite=False)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["judge"]["source"]["accuracy"] == judge.source.accuracy
    assert len(report["rows"]) == len(everything)


def test_detail_tells_blur_from_texture(judge: Judge) -> None:
    """As rough as the source's label where it is copied, less where it is smoothed."""
    image, labels = source()
    scorer = Scorer(image, labels, judge)

    def detail(picture: torch.Tensor, target: torch.Tensor) -> float | None:
        rows = scorer.rows("a", picture, target)
        return next(row.value for row in rows if row.metric == "detail")

    assert detail(image, labels) is None
    mirrored, other = image.flip(3), labels.flip(2)
    assert detail(mirrored, other) == pytest.approx(1, abs=0.2)
    smooth = torch.nn.functional.avg_pool2d(mirrored, 5, 1, 2)
    assert detail(smooth, other) < 0.6
    wide = torch.cat([image] * 2, 3), torch.cat([labels] * 2, 2)
    assert detail(*wide) == pytest.approx(1, abs=0.1)
