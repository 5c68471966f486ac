# SPDX-License-Identifier: Apache-2.0
"""Semantic image analogy: one image with its label map, generated again under another label map.

After Li et al., "Semantic Image Analogy with a Conditional Single-Image GAN" (ACM MM 2020)::

    from scam import semia

    source = semia.example()
    analogy = semia.learn(source.image, source.labels)
    moved = analogy(source.targets["move"])  # uint8 (3, H, W)
"""

from scam.semia.analogy import Analogy, load
from scam.semia.landscape.example import Example, example
from scam.semia.learning import learn

__all__ = ["Analogy", "Example", "example", "learn", "load"]
