# SPDX-License-Identifier: Apache-2.0
"""How the paper's baselines were trained: by their authors, and as copied by SCAM's authors.

Names are those of ``scam.synthesis``'s settings. Lengths and batches are left to who trains.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from scam.errors import InputError

Fidelity = Literal["matched", "paper", "released"]
"""Of a baseline: the authors' networks trained as SCAM is; everything as the authors had it; or
the copies that SCAM was compared with."""

_COMMON: dict[str, Any] = {
    "lr": 1e-4,
    "lr_discriminator": 4e-4,
    "weight_decay": 0.0,
    "warmup": 0,
    "max_grad_norm": 0.0,
    "ema": 0.0,
    "l1": 0.0,
    "gan_from": 0,
    "discriminator": "patch",
    "feature_matching": 10.0,
    "vgg_normalise": False,
}
_RELEASED = {**_COMMON, "betas": (0.0, 0.999), "flip": False}
# Rates fall over the second half: SEAN's code, SPADE's and GroupDNet's longer runs.
_PAPER = {**_COMMON, "betas": (0.0, 0.9), "fresh_fake": True, "decay_from": 0.5}
_SEAN = {**_PAPER, "discriminator": "sean"}
_INADE = {
    **_PAPER,
    "feature_matching_maps": "last",
    "vgg_slices": (0.0, 0.0, 0.0, 1 / 4, 1.0),
}

PAPER: Mapping[str, Mapping[str, Any]] = {
    "spade": _PAPER,
    "clade": _PAPER,
    "sean": _SEAN,
    "sean-clade": _SEAN,  # nobody else's code is known
    "inade": _INADE,
    "groupdnet": _PAPER,
}
"""By kind of model."""


def recipe(kind: str, fidelity: Fidelity) -> Mapping[str, Any]:
    """Training settings of a baseline; none for ``matched``, which is trained as SCAM is.

    Raises InputError for another fidelity or kind.
    """
    if fidelity not in get_args(Fidelity):
        raise InputError("{fidelity}: expected matched, paper or released", fidelity=fidelity)
    if kind not in PAPER:
        raise InputError("{kind}: expected one of " + ", ".join(PAPER), kind=kind)
    return {"matched": {}, "paper": PAPER[kind], "released": _RELEASED}[fidelity]
