# SPDX-License-Identifier: Apache-2.0
"""Feature statistics of real pictures and their cache, with a network of one line."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from scam.data import FolderPairs, Mannequins, PairDataset, save_label_png
from scam.data.subset import at_most
from scam.errors import InputError, MissingError
from scam.evaluation.distribution import DistributionMeter
from scam.evaluation.references import Extractor, Reference
from scam.metrics import FeatureMoments, frechet_distance, kernel_distance


class Corners(nn.Module):
    """Means of quarters; counts the pictures it sees."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.seen = 0

    def forward(self, pictures: Tensor) -> Tensor:
        assert pictures.dtype == torch.uint8
        self.seen += len(pictures)
        pooled = nn.functional.adaptive_avg_pool2d(pictures.float() / 255, 2)
        return self.gain * pooled.flatten(1)


Make = Callable[..., Extractor]
PROBES = 6  # go through the network each time; eight where there are more pictures


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda network=None, name="corners": Extractor(
        network or Corners(), name, torch.device("cpu"), 4, tmp_path / "cache"
    )


def mannequins(count: int = 6, size: tuple[int, int] = (24, 16)) -> PairDataset:
    return PairDataset(Mannequins("val", count), size)


def test_computed_once(make: Make, tmp_path: Path) -> None:
    network = Corners()
    reference = Reference("test", mannequins)
    first = make(network).statistics(reference)
    assert network.seen == PROBES + 6
    again = make(network).statistics(reference)
    assert network.seen == 2 * PROBES + 6
    assert torch.equal(first.covariance, again.covariance)
    assert torch.equal(first.features, again.features)
    (stored,) = (tmp_path / "cache").iterdir()
    assert stored.name.startswith("corners_test-24x16-6-")


@pytest.mark.parametrize(
    ("network", "name", "open_again"),
    [
        (Corners(2.0), "corners", mannequins),
        (Corners(), "others", mannequins),
        (Corners(), "corners", lambda: mannequins(5)),
        (Corners(), "corners", lambda: mannequins(size=(16, 24))),
    ],
)
def test_another_network_set_or_size_is_computed_anew(
    network: Corners, name: str, open_again: Callable[[], PairDataset], make: Make
) -> None:
    make().statistics(Reference("test", mannequins))
    make(network, name).statistics(Reference("test", open_again))
    assert network.seen == 2 * len(open_again())


@pytest.mark.parametrize("count", [12, 11])
def test_a_changed_file_is_seen(make: Make, tmp_path: Path, count: int) -> None:
    """By its content: neither time nor place matters."""
    source = Mannequins("train", 12)
    pictures = tmp_path / "pictures"
    for folder in ("images", "labels"):
        (pictures / folder).mkdir(parents=True)
    for index in range(12):
        image, labels = source.load(index, (24, 16))
        Image.fromarray(image).save(pictures / "images" / f"{index:02d}.png")
        save_label_png(pictures / "labels" / f"{index:02d}.png", labels)
    network = Corners()

    def statistics(root: Path = pictures) -> None:
        folder = at_most(FolderPairs(root, num_labels=11), count)
        make(network).statistics(Reference("train", lambda: PairDataset(folder, (24, 16))))

    statistics()
    statistics()
    assert network.seen == count + 2 * 8
    changed = pictures / "images" / "05.png"
    before = changed.stat()
    Image.new("RGB", (16, 24), "red").save(changed)
    changed.write_bytes(changed.read_bytes().ljust(before.st_size, b"\0"))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    statistics()
    assert network.seen == 2 * count + 3 * 8
    os.utime(changed, ns=(2, 2))
    statistics()
    pictures.rename(tmp_path / "moved")
    statistics(tmp_path / "moved")
    assert network.seen == 2 * count + 5 * 8


def test_a_network_whose_code_changed_is_computed_anew(make: Make) -> None:
    """Its weights say nothing of it."""

    class Brighter(Corners):
        def forward(self, pictures: Tensor) -> Tensor:
            return super().forward(pictures) + 1

    reference = Reference("test", mannequins)
    before = make(Corners()).statistics(reference)
    after = make(Brighter()).statistics(reference)
    torch.testing.assert_close(after.mean, before.mean + 1)
    assert torch.equal(make(Brighter()).statistics(reference).mean, after.mean)


def test_a_cache_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    network = Corners()
    (tmp_path / "file").touch()
    extractor = Extractor(network, "corners", torch.device("cpu"), 4, tmp_path / "file" / "in")
    with pytest.raises(InputError, match=r"cache='.*file/in': .*cannot be written") as caught:
        extractor.statistics(Reference("test", mannequins))
    assert "\n" not in str(caught.value)
    assert network.seen == PROBES


@pytest.mark.parametrize("content", [b"", b"\x10\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_file_is_replaced(make: Make, tmp_path: Path, content: bytes) -> None:
    reference = Reference("test", mannequins)
    wanted = make().statistics(reference)
    (stored,) = (tmp_path / "cache").iterdir()
    whole = stored.read_bytes()
    stored.write_bytes(content)
    assert torch.equal(make().statistics(reference).mean, wanted.mean)
    assert stored.read_bytes() == whole


def test_pictures_that_cannot_be_opened(make: Make) -> None:
    def nothing() -> PairDataset:
        raise InputError("nothing is left for 'train'")

    with pytest.raises(MissingError, match="nothing is left for 'train'"):
        make().statistics(Reference("train", nothing))
    with pytest.raises(MissingError, match="test: 1 image, expected 2 or more"):
        make().statistics(Reference("test", lambda: mannequins(1)))


def test_cudnn_is_on_and_exact(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn, seen = torch.backends.cudnn, []
    network = Corners()
    network.register_forward_hook(
        lambda *_: seen.append((cudnn.enabled, cudnn.deterministic, cudnn.conv.fp32_precision))
    )
    make(network)(torch.zeros(2, 3, 8, 8))
    assert seen == [(True, True, "ieee")]


def test_features_that_are_not_finite(make: Make) -> None:
    with pytest.raises(InputError, match="broken: its features are not finite"):
        make(Corners(math.nan), "broken").statistics(Reference("test", mannequins))


class Batch:
    def __init__(self) -> None:
        self.reconstruction, self.swap, self.transfer = (
            torch.rand(5, 3, 24, 16) * 2 - 1 for _ in range(3)
        )


def test_rows_of_every_set_against_every_reference(make: Make) -> None:
    extractor = make()
    references = [
        Reference("train", lambda: mannequins(9)),
        Reference("test", lambda: mannequins(5)),
    ]
    both = {"frechet": "fid", "kernel": "kid"}
    batch = Batch()
    meter = DistributionMeter(extractor, references, both, 5)
    meter.update(batch)  # type: ignore[arg-type]  # all that it needs
    with pytest.warns(UserWarning, match="fewer than 2048 images are biased upwards: compare"):
        rows = meter.rows()
    assert len(rows) == 2 * (3 * 2 + 1)
    found = {(row.metric, row.what, row.against): row for row in rows}
    assert found["fid", "real pictures themselves", "train (9)"].note.endswith("a floor")
    assert "biased: 5 < 2048" in found["fid", "R: reconstructions", "test (5)"].note
    real = extractor.statistics(references[0])
    for letter, pictures in (
        ("R: reconstructions", batch.reconstruction),
        ("S: whole code of the donor", batch.swap),
        ("S: subject of the donor (Z_mix)", batch.transfer),
    ):
        moments = FeatureMoments(5)
        moments.update(extractor(pictures))
        generated = moments.finish()
        fid, kid = (found[name, letter, "train (9)"].value for name in ("fid", "kid"))
        assert fid == frechet_distance(generated, real)
        assert kid == kernel_distance(generated.features, real.features)


def test_a_missing_reference_has_rows_that_say_so(make: Make) -> None:
    def nothing() -> PairDataset:
        raise InputError("nothing is left for 'train'")

    references = [Reference("train", nothing), Reference("test", lambda: mannequins(5))]
    meter = DistributionMeter(make(), references, {"kernel": "kid"}, 5)
    meter.update(Batch())  # type: ignore[arg-type]
    by_name = {name: [r for r in meter.rows() if r.against.startswith(name)] for name in
               ("train", "test")}  # fmt: skip
    assert {row.value for row in by_name["train"]} == {None}
    assert {row.note for row in by_name["train"]} == {"nothing is left for 'train'"}
    assert None not in {row.value for row in by_name["test"]}
