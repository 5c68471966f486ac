# SPDX-License-Identifier: Apache-2.0
"""The person re-identification network of the SCAM paper."""

from pathlib import Path

from torch import nn

from scam.errors import InputError
from scam.pretrained.weights import read_state

PERSON = "lup_moco_r50.pth"
"""LUPerson's file."""


def person_network(weights: Path) -> nn.Module:
    """(B, 3, 256, 128) in [-1, 1] -> (B, 2048): ResNet-50 with last stride 1, as for person reid.

    weights: a state dict of torchvision's names, plain or as MoCo training saved it.
    """
    from torchvision.models import resnet50

    network = resnet50(weights=None)
    for module in (network.layer4[0].conv2, network.layer4[0].downsample[0]):
        module.stride = (1, 1)
    network.fc = nn.Identity()
    state = read_state(weights)
    for wrapper in ("state_dict", "model"):
        inner = state.get(wrapper)
        state = inner if isinstance(inner, dict) else state
    for prefix in ("module.", "encoder_q.", "base_encoder.", "backbone.", "base."):
        if any(key.startswith(prefix) for key in state):
            state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    state = {k: v for k, v in state.items() if not k.startswith("fc.")}
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{weights}: not the weights of a ResNet-50 ({reason:.200})") from error
    return network
