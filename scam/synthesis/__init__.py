# SPDX-License-Identifier: Apache-2.0
"""The task "reconstruct pairs of image and label map".

From Python::

    import scam
    from scam.synthesis import train

    model = scam.load(train(data="photos", steps=1500, out="runs/photos"))
"""

from scam.synthesis.run import train

__all__ = ["train"]
