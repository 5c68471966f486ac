# SPDX-License-Identifier: Apache-2.0
"""Measurements of edits, on maps drawn by hand and on a small untrained model."""

import math

import pytest
import torch
from torch import Tensor

from scam.data import Mannequins, PairDataset
from scam.evaluation.batches import Batch, one_batch
from scam.evaluation.edits import CycleMeter, LocalityMeter, MapNoiseMeter, grown, shifted, shrunk
from scam.evaluation.evaluated_model import EvaluatedModel
from scam.evaluation.rows import Row, averaged
from scam.metrics import Psnr
from scam.models import Scam, ScamConfig


@pytest.fixture(scope="module")
def evaluated() -> EvaluatedModel:
    torch.manual_seed(0)
    shape = ScamConfig.preset("tiny", num_labels=11, size=(32, 32), latents_per_label=2)
    return EvaluatedModel(Scam(shape).eval())


@pytest.fixture(scope="module")
def dataset() -> PairDataset:
    return PairDataset(Mannequins("val", 4), (32, 32))


def pictures(evaluated: EvaluatedModel, dataset: PairDataset, donors: list[int]) -> Batch:
    with torch.no_grad():
        found = one_batch(evaluated, dataset, donors, range(len(donors)))
        _ = found.reconstruction, found.swap, found.transfer
    return found


MAP = [[0, 0, 0, 0, 0], [0, 0, 1, 2, 0], [0, 0, 0, 0, 0], [-1, 0, 0, 0, 0]]


def changed(change: object, *rows: list[int], radius: int = 1, start: object = MAP) -> None:
    labels = torch.tensor([start])
    found: Tensor = change(labels, labels <= 0, radius)  # type: ignore[operator]
    assert found[0].tolist() == list(rows)


class TestMaps:
    def test_grown(self) -> None:
        changed(grown, [0, 1, 2, 2, 2], [0, 1, 1, 2, 2], [0, 1, 2, 2, 2], [-1, 0, 0, 0, 0])
        changed(
            grown, [1, 1, 2, 2, 2], [1, 1, 1, 2, 2], [1, 1, 2, 2, 2], [-1, 2, 2, 2, 2], radius=2
        )

    def test_shrunk(self) -> None:
        one, hole = [1] * 5, [[1] * 5, [1] * 5, [1, 1, 0, 1, 1], [-1, 1, 1, 1, 1]]
        thin = [1, 0, 0, 0, 1]
        changed(shrunk, one, thin, thin, [-1, 0, 0, 0, 1], start=hole)
        changed(shrunk, *[[0] * 5] * 3, [-1, 0, 0, 0, 0])

    def test_shifted(self) -> None:
        changed(shifted, [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 2], [0, 0, 0, 0, 0])

    def test_nothing_grows_where_there_is_no_subject(self) -> None:
        empty = [[0, 0], [0, -1]]
        changed(grown, *empty, start=empty, radius=3)


@torch.no_grad()
def test_locality_by_hand(evaluated: EvaluatedModel, dataset: PairDataset) -> None:
    """The change inside and outside, from the edited pictures themselves."""
    batch_of = pictures(evaluated, dataset, [1, 2, 3, 0])
    meter = LocalityMeter(seed=3)
    meter.update(batch_of)
    chosen = meter._choose(batch_of)
    assert len(chosen) == 4
    inside = outside = 0.0
    counts = [0, 0]
    for row, label in chosen.items():
        assert batch_of.latents.present[row, label]
        assert batch_of.donor_latents.present[row, label]
        tokens = batch_of.latents.tokens[row : row + 1].clone()
        edited = evaluated.model.token_labels == label
        tokens[:, edited] = batch_of.donor_latents.tokens[row, edited]
        latents = type(batch_of.latents)(tokens, batch_of.latents.present[row : row + 1])
        result = evaluated.generate(batch_of.labels[row : row + 1], latents, [row])
        error = ((result[0] - batch_of.reconstruction[row]) * 127.5).square().mean(0)
        here = batch_of.labels[row] == label
        inside += float(error[here].sum())
        outside += float(error[~here].sum())
        counts[0] += int(here.sum())
        counts[1] += int((~here).sum())
    rows = {row.what: row for row in meter.rows()}
    assert rows["change inside the edited label"].value == pytest.approx(
        (inside / counts[0]) ** 0.5, rel=1e-3
    )
    leak = rows["change outside it"].value
    assert leak == pytest.approx((outside / counts[1]) ** 0.5, rel=1e-3)
    pasted = rows["change outside it, pasted back"].value
    assert 0 < pasted < leak


def test_pasting_back_bounds_the_leak_to_the_feather(
    evaluated: EvaluatedModel, dataset: PairDataset
) -> None:
    plain = torch.zeros(1, 3, 40, 40)
    inside = torch.zeros(1, 40, 40, dtype=torch.bool)
    inside[0, 0, 0] = True
    result = plain + 100 / 127.5
    found = LocalityMeter(0)._pasted(plain, result, inside)
    # A quarter of a disc around the corner, with less of the change by the distance to it.
    apart = [math.hypot(x, y) for x in range(5) for y in range(5) if (x, y) != (0, 0)]
    wanted = sum((100 * (1 - far / 5)) ** 2 for far in apart if far <= 4)
    assert found == pytest.approx(wanted, rel=0.03)


@torch.no_grad()
def test_a_picture_that_is_its_own_donor_does_not_change(
    evaluated: EvaluatedModel, dataset: PairDataset
) -> None:
    same = pictures(evaluated, dataset, [0, 1])
    torch.testing.assert_close(same.swap, same.reconstruction)
    torch.testing.assert_close(same.transfer, same.reconstruction)
    meter = LocalityMeter(0)
    meter.update(same)
    assert max(row.value or 0.0 for row in meter.rows()) < 1e-3
    cycle = CycleMeter()
    cycle.update(same)
    there, twice = (row.value for row in cycle.rows())
    assert there == pytest.approx(twice, abs=1e-4)


@torch.no_grad()
def test_a_cycle_is_judged_by_the_labels_that_travel(
    evaluated: EvaluatedModel, dataset: PairDataset
) -> None:
    """Skin goes from A to B and back; A's coat, which B's map lacks, and its ground stay home."""
    ground, skin, coat = 0, 2, 4
    host = torch.full((1, 32, 32), ground)
    host[:, 8:24, 8:24] = skin
    home = torch.full((1, 32, 32), ground)
    home[:, :16, :16], home[:, 16:, 16:], home[:, :4, 20:] = skin, coat, -1
    image, donor_image = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    found = Batch(evaluated, [0], image, host, donor_image, home)
    meter = CycleMeter()
    meter.update(found)
    cycle, twice = meter.rows()
    away = evaluated.model.encode(found.transfer, host)
    back = found.generate(home, evaluated.mix(away, found.donor_latents))
    error = (back - donor_image)[:, :, :16, :16].double().square().mean()
    assert cycle.value == pytest.approx(float(10 * (4 / error).log10()), rel=1e-6)
    assert cycle.note == "25 % of the pixels: labels that travel"
    assert (cycle.n, twice.n) == (1, 1)

    nobody = CycleMeter()
    nobody.update(Batch(evaluated, [0], image, torch.zeros_like(host), donor_image, home))
    (row,) = nobody.rows()
    assert row.value is None
    assert row.note == "host and donor share no subject label"


@torch.no_grad()
def test_the_transfer_of_a_batch_is_the_model_s(
    evaluated: EvaluatedModel, dataset: PairDataset
) -> None:
    found = pictures(evaluated, dataset, [2, 0, 3, 1])
    for host, donor in enumerate([2, 0, 3, 1]):
        wanted = evaluated.model.transfer(dataset.pair(donor), dataset.pair(host))[0]
        torch.testing.assert_close(found.transfer[host], wanted, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_map_noise_is_measured_against_exact_maps(
    evaluated: EvaluatedModel, dataset: PairDataset
) -> None:
    found = pictures(evaluated, dataset, [1, 0])
    meter = MapNoiseMeter((32, 32))
    meter.update(found)
    rows = meter.rows()
    assert [row.what for row in rows[:2]] == ["shifted by 1 px", "shifted by 2 px"]
    assert len(rows) == 6
    labels = shifted(found.labels, found.labels <= 0, 2)
    generated = found.generate(labels, evaluated.model.encode(found.image, labels))
    moved, exact = Psnr(), Psnr()
    moved.update(generated, found.image)
    exact.update(found.reconstruction, found.image)
    assert rows[1].value == pytest.approx(moved.pooled - exact.pooled, abs=1e-9)
    assert rows[1].value != 0


@torch.no_grad()
def test_released_networks_generate_the_same_twice(dataset: PairDataset) -> None:
    torch.manual_seed(0)
    shape = ScamConfig.preset(
        "tiny", num_labels=11, size=(32, 32), fidelity="released", latents_per_label=2
    )
    model = Scam(shape)
    for name, weight in model.named_parameters():
        if "noise" in name:
            weight.fill_(0.5)
    evaluated = EvaluatedModel(model)
    one, other = (pictures(evaluated, dataset, [1, 0]) for _ in range(2))
    assert torch.equal(one.reconstruction, other.reconstruction)
    for other_noise in (EvaluatedModel(model, seed=1), evaluated.with_draw(1)):
        found = pictures(other_noise, dataset, [1, 0]).reconstruction
        assert not torch.equal(found, one.reconstruction)
    same = pictures(evaluated.with_draw(0), dataset, [1, 0]).reconstruction
    assert torch.equal(same, one.reconstruction)


def test_rows_of_several_draws_are_averaged() -> None:
    def drawn(value: float | None, note: str = "") -> Row:
        return Row("psnr", "reconstruction, pooled", value, note=note)

    first, second = (
        [drawn(1.0, "a"), drawn(2.0), drawn(None)],
        [drawn(3.0, "a"), drawn(2.0), drawn(None)],
    )
    assert averaged([first], "two draws") == first
    found = averaged([first, second], "two draws")
    assert found == [drawn(2.0, "a; two draws"), drawn(2.0), drawn(None)]
