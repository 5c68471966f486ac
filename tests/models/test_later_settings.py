# SPDX-License-Identifier: Apache-2.0
"""Settings that came when models had been saved: files without them are what they were."""

import torch

from scam.models import Scam
from scam.models.registry import build, stored_config
from scam.models.scam.config import ScamConfig

SHAPE = {"num_labels": 3, "size": [32, 32], "width": 16, "levels": 4, "token_dim": 16}


def test_earlier_files_say_nothing_of_bounded_scores_or_a_wide_encoder() -> None:
    earlier = stored_config(SHAPE)
    assert isinstance(earlier, ScamConfig)
    assert not earlier.bounded
    assert earlier.encoder_channels == [3, 8, 16, 32, 64]
    assert not any("log_length" in name for name in build(earlier).state_dict())
    assert ScamConfig(3, (32, 32), levels=4).bounded


def test_what_a_file_says_is_kept() -> None:
    for changes in ({"bounded": False}, {"encoder_width": 8}, {}):
        config = ScamConfig(3, (32, 32), width=16, levels=4, **changes)
        assert stored_config({"kind": "scam", **config.as_dict()}) == config


def test_the_identity_of_earlier_files_stays() -> None:
    earlier = stored_config(SHAPE)
    assert not {"bounded", "encoder", "encoder_width"} & earlier.identity.keys()
    assert ScamConfig(3, (32, 32), levels=4).identity["bounded"] is True


def test_the_released_networks_are_never_bounded_and_have_their_own_encoder() -> None:
    torch.manual_seed(0)
    released = ScamConfig.preset("tiny", size=(64, 64), fidelity="released")
    assert released.encoder_width == 16
    assert released.encoder_channels == [3, 8, 16, 32, 64]
    names = Scam(released).state_dict()
    assert not any("log_length" in name for name in names)
