# SPDX-License-Identifier: Apache-2.0
"""One seed for every test; hypothesis repeats the same examples unless told otherwise."""

from pathlib import Path

import hypothesis
import pytest
import torch

common = {"deadline": None, "print_blob": True}
hypothesis.settings.register_profile("ci", max_examples=40, derandomize=True, **common)
hypothesis.settings.register_profile("nightly", max_examples=3000, **common)
hypothesis.settings.load_profile("ci")  # --hypothesis-profile=nightly looks further


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in torch-fidelity's format."""
    theirs = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *_: None)
        network = theirs.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path
