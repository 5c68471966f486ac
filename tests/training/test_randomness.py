# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from scam.models.noise import draw_noise
from scam.training.randomness import picture_generators

CPU = torch.device("cpu")
SHAPES = [(1, 4, 4), (1, 8, 8)]


def first(*args: object) -> list[int]:
    return [g.initial_seed() for g in picture_generators(*args, CPU)]


def test_a_generator_depends_on_its_own_key_alone() -> None:
    key = (0, 7, range(4), "noise")
    whole = first(*key)
    assert first(*key) == whole
    assert first(0, 7, range(1, 4, 2), "noise") == whole[1::2]
    others = [(1, 7, range(4), "noise"), (0, 8, range(4), "noise"), (0, 7, range(4), "flip")]
    seeds = [seed for other in (key, *others) for seed in first(*other)]
    assert len(set(seeds)) == len(seeds) == 16


def test_a_pictures_noise_does_not_depend_on_its_batch() -> None:
    whole = draw_noise(picture_generators(0, 1, range(4), "noise", CPU), 4, SHAPES, CPU)
    part = draw_noise(picture_generators(0, 1, (1, 3), "noise", CPU), 2, SHAPES, CPU)
    assert [field.shape for field in whole] == [(4, 1, 4, 4), (4, 1, 8, 8)]
    for a, b in zip(whole, part, strict=True):
        assert torch.equal(a[1::2], b)
    numbers = torch.cat([field.flatten() for field in whole])
    assert len(numbers.unique()) == len(numbers)


def test_noise_is_standard_normal() -> None:
    (field,) = draw_noise(picture_generators(3, 1, range(8), "noise", CPU), 8, [(1, 64, 64)], CPU)
    assert abs(float(field.mean())) < 0.02
    assert abs(float(field.std()) - 1) < 0.02


def test_one_source_for_a_batch_and_too_few() -> None:
    fields = draw_noise(torch.Generator().manual_seed(1), 2, SHAPES, CPU)
    source = torch.Generator().manual_seed(1)
    for field, shape in zip(fields, SHAPES, strict=True):
        assert torch.equal(field, torch.randn(2, *shape, generator=source))
    with pytest.raises(ValueError, match="noise has 1 generators, expected one per image: 2"):
        draw_noise([torch.Generator()], 2, SHAPES, CPU)
