# SPDX-License-Identifier: Apache-2.0
"""Random numbers of a training step that belong to an image, not to a process."""

import zlib
from collections.abc import Callable, Iterable

import numpy as np
import torch

PictureGenerators = Callable[[str, torch.device], list[torch.Generator]]
""":func:`picture_generators` of certain images in a certain step: from purpose and device."""


def picture_generators(
    seed: int, step: int, places: Iterable[int], purpose: str, device: torch.device
) -> list[torch.Generator]:
    """One generator per image, a pure function of ``(seed, step, place, purpose)``.

    places: of the images in the step's global batch, whichever process holds them and however
        the batch is cut. purpose: a word; different purposes draw independent numbers.
    """
    word = zlib.crc32(purpose.encode())
    keys = [np.random.SeedSequence((seed, step, place, word)) for place in places]
    return [
        torch.Generator(device).manual_seed(int(key.generate_state(1, np.uint64)[0]))
        for key in keys
    ]
