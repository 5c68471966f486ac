# SPDX-License-Identifier: Apache-2.0
"""One seed for every test; hypothesis repeats the same examples unless told otherwise."""

import struct
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


@pytest.fixture(scope="session")
def camera_rgb() -> bytes:
    """An ICC profile, version 2, "Camera RGB": primaries wider than sRGB's, a gamma of 2.2."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(65536 * value) for value in values))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(*values)

    text = b"Camera RGB\0"
    curve = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(2.2 * 256))
    blocks = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0" + b"none\0",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.6097, 0.3111, 0.0195),
        b"gXYZ": xyz(0.2053, 0.6257, 0.0609),
        b"bXYZ": xyz(0.1492, 0.0632, 0.7446),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body, place = struct.pack(">I", len(blocks)), b"", 128 + 4 + 12 * len(blocks)
    for kind, block in blocks.items():
        block += bytes(-len(block) % 4)
        table += struct.pack(">4sII", kind, place + len(body), len(block))
        body += block
    head = struct.pack(
        ">I4xI4s4s4s12x4s", place + len(body), 2 << 24, b"mntr", b"RGB ", b"XYZ ", b"acsp"
    )
    head = head.ljust(68, b"\0") + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + body
