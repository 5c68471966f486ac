# SPDX-License-Identifier: Apache-2.0
"""The arrays that images and label maps are read into."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""RGB (H, W, 3)."""
LabelMap = NDArray[np.int32]
"""Labels 0 .. L - 1 of pixels (H, W), -1 where a pixel has none."""
