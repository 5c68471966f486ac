# SPDX-License-Identifier: Apache-2.0
"""The arrays that images and label maps are read into, and what errors call those given."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from scam.errors import type_of

Image = NDArray[np.uint8]
"""RGB (H, W, 3)."""
LabelMap = NDArray[np.int32]
"""Labels 0 .. L - 1 of pixels (H, W), -1 where a pixel has none."""


def described(value: object) -> str:
    """``a tensor float32 (3, 5, 7)``, ``an empty array uint8 (0, 5, 3)``, ``a list``."""
    if isinstance(value, Tensor):
        kind, dtype, empty = "tensor", str(value.dtype).removeprefix("torch."), not value.numel()
    elif isinstance(value, np.ndarray):
        kind, dtype, empty = "array", str(value.dtype), not value.size
    else:
        return type_of(value)
    article = "an empty" if empty else "a" if kind == "tensor" else "an"
    return f"{article} {kind} {dtype} {tuple(value.shape)}"
