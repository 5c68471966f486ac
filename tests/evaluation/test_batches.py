# SPDX-License-Identifier: Apache-2.0
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from scam.data import Mannequins, PairDataset
from scam.data.subset import at_most
from scam.errors import InputError
from scam.evaluation.batches import batches
from scam.evaluation.donors import derangement, read_pairs
from scam.evaluation.evaluated_model import EvaluatedModel
from scam.models import Scam, ScamConfig


@pytest.mark.parametrize("count", [2, 3, 8, 101])
@pytest.mark.parametrize("seed", [0, 5])
def test_everybody_is_donor_once_and_never_their_own(count: int, seed: int) -> None:
    donors = derangement(count, seed)
    assert sorted(donors) == list(range(count))
    assert all(donor != host for host, donor in enumerate(donors))
    assert donors == derangement(count, seed)


def test_other_seeds_pair_others() -> None:
    assert len({tuple(derangement(20, seed)) for seed in range(5)}) == 5
    with pytest.raises(ValueError, match="no pair among 1"):
        derangement(1, 0)


def test_a_subset_is_spread_and_keeps_its_pictures() -> None:
    source = Mannequins("val", 10)
    part = at_most(source, 4)
    assert [part.stem(i)[-1] for i in range(len(part))] == ["0", "2", "5", "7"]
    image, _ = part.load(2, (32, 32))
    assert np.array_equal(image, source.load(5, (32, 32))[0])
    assert at_most(source, 10) is source
    assert at_most(source, None) is source
    assert len(PairDataset(part, (32, 32))) == 4


@torch.no_grad()
def test_the_noise_of_released_networks_does_not_follow_the_batch() -> None:
    torch.manual_seed(0)
    shape = ScamConfig.preset("tiny", num_labels=11, size=(32, 32), fidelity="released")
    model = Scam(shape)
    for name, parameter in model.named_parameters():
        if "noise" in name:
            torch.nn.init.ones_(parameter)
    evaluated, dataset = EvaluatedModel(model), PairDataset(Mannequins("val", 3), (32, 32))
    whole, parts = (
        torch.cat(
            [x.reconstruction for x in batches(evaluated, dataset, [1, 2, 0], size, workers=n)]
        )
        for size, n in ((3, 0), (2, 2))
    )
    torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-3)
    other = EvaluatedModel(model, seed=1)
    again = torch.cat([x.reconstruction for x in batches(other, dataset, [1, 2, 0], 3)])
    assert (again - whole).abs().max() > 1e-2


class TestStoredPairs:
    def write(self, folder: Path, donors: object) -> Path:
        path = folder / "pairs.json"
        path.write_text(json.dumps({"donors": donors}))
        return path

    def test_names_become_numbers(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, {"a": "c", "b": "a", "c": "a"})
        assert read_pairs(path, ["a", "b", "c"]) == [2, 0, 0]

    @pytest.mark.parametrize(
        ("donors", "message"),
        [
            ({"a": "b", "b": "b"}, "b has 'b' as donor, expected another"),
            ({"a": "b", "b": "x"}, "b has 'x' as donor, expected another"),
            ({"a": "b"}, "pairs other images than these 2, for example b"),
            ({"a": "b", "b": "a", "c": "a"}, "pairs other images than these 2, for example c"),
            (["b", "a"], "holds no donors, expected a pairs.json"),
            ({"a": ["b"], "b": "a"}, r"a has \['b'\] as donor, expected another"),
            ({"a": None, "b": "a"}, "a has None as donor, expected another"),
        ],
    )
    def test_pairs_of_other_pictures(self, tmp_path: Path, donors: object, message: str) -> None:
        with pytest.raises(InputError, match=message):
            read_pairs(self.write(tmp_path, donors), ["a", "b"])

    @pytest.mark.parametrize(
        "text", ["", "[1]", "{}", "[" * 99999, '{"donors": {"a": "b", "a": "b", "b": "a"}}']
    )
    def test_another_file(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "pairs.json"
        path.write_text(text)
        with pytest.raises(InputError, match=r"pairs=.*expected a pairs\.json$"):
            read_pairs(path, ["a", "b"])
        with pytest.raises(InputError, match="No such file"):
            read_pairs(tmp_path / "nothing.json", ["a", "b"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"donors": {"a": "b", "a": "b", "b": "a"}}', "'a' is there twice"),
        ('{"donors": {"a": "b", "b": ["a"]}}', "b has \\['a'\\] as donor"),
        ("[]", "expected a JSON object"),
    ],
)
def test_pairs_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pairs.json").write_text(text)
    with pytest.raises(InputError, match=f"^pairs=.*{message}"):
        read_pairs(tmp_path / "pairs.json", ["a", "b"])


def test_pairs_from_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pairs.json")
    with pytest.raises(InputError, match="is a pipe, expected a file"):
        read_pairs(tmp_path / "pairs.json", ["a", "b"])
