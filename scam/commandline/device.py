# SPDX-License-Identifier: Apache-2.0
"""The device that ``--device`` names."""

from typing import TYPE_CHECKING

from scam.errors import InputError, first_line

if TYPE_CHECKING:
    import torch


def open_device(name: str | None) -> "torch.device":
    """The device of ``--device``; by default a GPU if there is one. InputError if unusable."""
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        known = found.type in ("cpu", "cuda", "mps", "xpu") and str(found) != f"cpu:{found.index}"
    except RuntimeError:  # whose words list two dozen devices
        known = False
    if not known:
        raise InputError("{device}: expected cpu, cuda or cuda:N", device=name)
    try:
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        message = f"{{device}}: cannot be used here ({first_line(error)})"
        raise InputError(message, device=name) from error
    return found
