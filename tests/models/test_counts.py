# SPDX-License-Identifier: Apache-2.0
"""Parameter counts of the released networks, to the unit."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from scam.models import Discriminator, SatEncoder, Scam, ScamConfig, ScamGenerator

SIZES = {3: (256, 170), 19: (256, 256), 151: (256, 256)}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def released(num_labels: int, **changes: object) -> ScamConfig:
    config = ScamConfig(num_labels, SIZES.get(num_labels, (256, 256)), fidelity="released")
    return replace(config, **changes)


@pytest.mark.parametrize(
    ("num_labels", "encoder", "no_pyramid", "no_self_attention", "generator", "simplex", "critic"),
    [
        (3, 12_301_632, 5_113_344, 9_366_336, 78_991_186, 73_539_410, 5_535_618),
        (19, 14_169_408, 6_981_120, 10_316_608, 80_711_506, 73_686_866, 5_568_386),
        (151, 29_578_560, 22_390_272, 18_156_352, 94_904_146, 74_903_378, 5_838_722),
    ],
)
def test_released_networks(
    num_labels: int,
    encoder: int,
    no_pyramid: int,
    no_self_attention: int,
    generator: int,
    simplex: int,
    critic: int,
) -> None:
    config = released(num_labels)
    with torch.device("meta"):
        assert count(SatEncoder(config)) == encoder
        assert count(SatEncoder(replace(config, pyramid=False))) == no_pyramid
        assert count(SatEncoder(replace(config, self_attention=False))) == no_self_attention
        assert count(ScamGenerator(config)) == generator
        assert count(ScamGenerator(replace(config, duplex=False))) == simplex
        assert count(Discriminator(num_labels, config.width, released=True)) == critic


@pytest.mark.parametrize(("num_labels", "k", "k_background"), [(2, 1, 1), (7, 3, 5), (40, 16, 8)])
def test_closed_forms_hold_for_any_number_of_labels(
    num_labels: int, k: int, k_background: int
) -> None:
    config = released(num_labels, latents_per_label=k, background_latents=k_background)
    m = config.num_tokens
    assert m == (num_labels - 1) * k + k_background
    with torch.device("meta"):
        assert count(SatEncoder(config)) == 11_951_424 + 14_592 * m
        assert count(ScamGenerator(config)) == 78_668_626 + 9_216 * num_labels + 12_288 * m


def test_default_parameters_do_not_grow_with_the_label_couples() -> None:
    """Per-token norms: beyond the tokens themselves only the seed convolution knows L."""
    counts = {}
    for num_labels in (3, 19):
        config = ScamConfig(num_labels, (256, 256))
        with torch.device("meta"):
            counts[num_labels] = count(ScamGenerator(config)) + count(SatEncoder(config))
    assert counts[19] - counts[3] == 16 * (9_216 + 2 * 8 * 256)


@pytest.mark.parametrize(
    ("num_labels", "generator"), [(3, 73_821_394), (19, 74_362_066), (151, 78_822_610)]
)
def test_the_encoder_of_sean_split_into_latents(num_labels: int, generator: int) -> None:
    """Row x of the paper's Table 2."""
    config = released(num_labels, encoder="sean", token_dim=64)
    with torch.device("meta"):
        model = Scam(config)
    assert count(model.encoder) == 1_568_576
    assert count(model.generator) == generator
