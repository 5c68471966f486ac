# SPDX-License-Identifier: Apache-2.0
"""Transfers against the drawn truth, and exchanged donors, with models known by construction."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from scam.data import Mannequins, PairDataset
from scam.data.subset import Subset
from scam.evaluation import EvaluationOptions, evaluate
from scam.evaluation.batches import Meter, batches
from scam.evaluation.evaluated_model import EvaluatedModel
from scam.evaluation.rows import Row
from scam.evaluation.transfers import InfluenceMeter, TransferMeter
from scam.models import Scam, ScamConfig
from scam.models.styles import Styles

SIZE = (32, 32)
DONORS = [3, 2, 0, 4, 1]
Make = Callable[[Tensor, Styles, Sequence[int]], Tensor]


def tiny() -> Scam:
    shape = ScamConfig.preset("tiny", num_labels=11, size=SIZE, latents_per_label=2)
    return Scam(shape).eval()


@pytest.fixture(scope="module")
def dataset() -> PairDataset:
    return PairDataset(Mannequins("val", 5), SIZE)


class Made(EvaluatedModel):
    """A model whose pictures are made by a function of label maps, styles and indices."""

    def __init__(self, make: Make) -> None:
        super().__init__(tiny())
        self.generate = make  # type: ignore[method-assign]


@torch.no_grad()
def measured(
    meter: Meter,
    evaluated: EvaluatedModel,
    dataset: PairDataset,
    donors: list[int],
    batch_size: int = 5,
) -> dict[str, Row]:
    for pictures in batches(evaluated, dataset, donors, batch_size):
        meter.update(pictures)
    return {row.what: row for row in meter.rows()}


class TestTransfer:
    def rows(
        self, dataset: PairDataset, evaluated: EvaluatedModel, size: int = 5
    ) -> dict[str, float]:
        found = measured(TransferMeter(dataset, DONORS), evaluated, dataset, DONORS, size)
        assert all(row.n == 5 and row.unit == "dB" for row in found.values())
        return {what: row.value for what, row in found.items() if row.value is not None}

    def test_the_truth_scores_infinite(self, dataset: PairDataset) -> None:
        meter = TransferMeter(dataset, DONORS)
        found = self.rows(dataset, Made(lambda _, __, indices: meter.truth(indices)))
        assert found.pop("the donor's subject, pooled") == math.inf
        assert all(5 < value < 30 for value in found.values())

    def test_who_ignores_donors_scores_the_floor(self, dataset: PairDataset) -> None:
        def hosts(_: Tensor, __: Styles, indices: Sequence[int]) -> Tensor:
            return torch.stack([dataset.pair(index)[0] for index in indices])

        found = self.rows(dataset, Made(hosts))
        assert found["the donor's subject, pooled"] == found["the host unchanged, pooled"]

    def test_flat_colours_by_hand(self, dataset: PairDataset) -> None:
        """Floors from pixels, one after the other."""
        truth = TransferMeter(dataset, DONORS).truth(range(5))
        squares = {"flat": 0.0, "half": 0.0, "host": 0.0}
        count = 0
        for host, donor in enumerate(DONORS):
            image, labels = dataset.pair(host)
            other, other_labels = dataset.pair(donor)
            for label in range(1, 11):
                here, there = labels == label, other_labels == label
                if not here.any() or not there.any():
                    continue
                flat = other[:, there].double().mean(1, keepdim=True)
                wanted, own = truth[host][:, here].double(), image[:, here].double()
                for name, result in (("flat", flat), ("half", (own + flat) / 2), ("host", own)):
                    squares[name] += float((result - wanted).square().sum())
                count += 3 * int(here.sum())
        found = self.rows(dataset, EvaluatedModel(tiny()))
        for what, name in (
            ("flat colours of the donor, pooled", "flat"),
            ("half of each, pooled", "half"),
            ("the host unchanged, pooled", "host"),
        ):
            assert found[what] == pytest.approx(10 * math.log10(4 * count / squares[name]))

    def test_neither_batches_nor_repeats_matter(self, dataset: PairDataset) -> None:
        found = self.rows(dataset, evaluated := EvaluatedModel(tiny()))
        assert found == self.rows(dataset, evaluated)
        assert found == pytest.approx(self.rows(dataset, evaluated, 2), rel=1e-5)

    def test_subsets_know_who_is_drawn(self, dataset: PairDataset) -> None:
        inner = Subset(dataset.source, [4, 3, 0])
        part = PairDataset(Subset(inner, [1, 2]), SIZE)
        truth = TransferMeter(part, [1, 0]).truth([0, 1])
        whole = TransferMeter(dataset, [3, 0, 0, 0, 0]).truth([3, 0])
        assert torch.equal(truth, whole)


class TestInfluence:
    def test_by_hand(self, dataset: PairDataset) -> None:
        evaluated = EvaluatedModel(tiny())
        found = measured(InfluenceMeter(11, DONORS), evaluated, dataset, DONORS)
        squares, pixels = [0.0, 0.0], [0, 0]
        # Host, donor, the donor of the host before.
        pairs = [(1, 2, 3), (2, 0, 2), (3, 4, 0), (4, 1, 4)]
        with torch.no_grad():
            for host, donor, other in pairs:
                image, labels = (x[None] for x in dataset.pair(host))
                own = evaluated.model.encode(image, labels)
                styles = [
                    evaluated.model.encode(*(x[None] for x in dataset.pair(who)))
                    for who in (donor, other)
                ]
                results = [
                    evaluated.generate(labels, evaluated.mix(s, own), [host]) for s in styles
                ]
                change = ((results[0] - results[1]) * 127.5).square().mean(1)[0]
                for label in range(11):
                    givers = sum(bool(s.present[0, label]) for s in styles) if label else 0
                    if givers != 1:
                        side, here = int(givers == 0), labels[0] == label
                        squares[side] += float(change[here].sum())
                        pixels[side] += int(here.sum())
        inside, outside = ((s / p) ** 0.5 for s, p in zip(squares, pixels, strict=True))
        assert found["change inside the subject"].value == pytest.approx(inside, rel=1e-3)
        assert found["change outside it"].value == pytest.approx(outside, rel=1e-3)
        assert all(row.n == len(pairs) for row in found.values())

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_batches_do_not_matter(self, dataset: PairDataset, size: int) -> None:
        evaluated = EvaluatedModel(tiny())
        one, other = (
            measured(InfluenceMeter(11, DONORS), evaluated, dataset, DONORS, batch_size)
            for batch_size in (5, size)
        )
        for what, row in one.items():
            assert other[what].n == row.n
            assert other[what].value == pytest.approx(row.value, rel=1e-3)

    def test_who_ignores_donors_has_none(self, dataset: PairDataset) -> None:
        grey = Made(lambda labels, _, __: torch.zeros(len(labels), 3, *SIZE))
        found = measured(InfluenceMeter(11, DONORS), grey, dataset, DONORS)
        assert found["change inside the subject"].value == 0
        assert found["change outside it"].value == 0
        colours = found["flat colours of the donors, inside"].value
        assert colours is not None
        assert colours > 10

    @pytest.mark.parametrize("donors", [[1], [4, 4, 4, 4]])
    def test_no_other_donor(self, dataset: PairDataset, donors: list[int]) -> None:
        meter, evaluated = InfluenceMeter(11, donors), EvaluatedModel(tiny())
        with torch.no_grad():
            for pictures in batches(evaluated, dataset, donors, 3, range(len(donors))):
                meter.update(pictures)
        (row,) = meter.rows()
        assert row.value is None
        assert row.note == "no two donors in turn share a subject label with a host"


@pytest.mark.parametrize("photographs", [False, True])
def test_through_the_front_door(tmp_path: Path, photographs: bool) -> None:
    """Photographs have no truth, but donors."""
    drawn = Mannequins("val", 4)
    data = tmp_path / "data" if photographs else "mannequins"
    for index in range(4):
        for kind, pixels in zip(("images", "labels"), drawn.load(index, SIZE), strict=True):
            folder = tmp_path / "data" / "val" / kind
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype("uint8")).save(folder / f"{index}.png")
    model = tiny()
    model.about = {"label_names": list(drawn.label_set.names)}
    model.save_pretrained(tmp_path / "model")
    rows = evaluate(
        EvaluationOptions(
            tmp_path / "model", data=str(data), metrics=("transfer", "influence"),
            max_pictures=4, workers=0, label_set="mannequins" if photographs else None,
        )
    )  # fmt: skip
    transfers = [row for row in rows if row.metric == "transfer"]
    if photographs:
        (row,) = transfers
        assert row.value is None
        assert row.note == "only of drawn mannequins is the true result known"
    else:
        assert len(transfers) == 4
        assert all(row.value is not None for row in transfers)
    influence = [row for row in rows if row.metric == "influence"]
    assert len(influence) == 3
    assert all(row.value is not None for row in influence)
