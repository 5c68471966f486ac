# SPDX-License-Identifier: Apache-2.0
"""Colours as sRGB, whatever profile an image's colours were written in."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageChops, ImageCms

# Profiles that say sRGB in other words round some colours to a neighbour.
_ROUNDING = 2


def to_srgb(picture: Image.Image, profile: bytes) -> tuple[Image.Image, str | None]:
    """An RGB, grey or CMYK image with its colours in sRGB, and what was done, in words.

    profile: an ICC profile, empty for none. One that is broken, or for another kind of image, is
    ignored, and the words say so. Without a profile, or with sRGB's, the image is returned as it
    is, and None.
    """
    if not profile:
        return picture, None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        name = " ".join(ImageCms.getProfileDescription(source).split()) or "without a name"
        converted = ImageCms.profileToProfile(
            picture,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
        return picture, "its colour profile cannot be used and is ignored"
    assert converted is not None  # None is for images converted in place
    if picture.mode == "RGB":
        change = np.asarray(ImageChops.difference(picture, converted))
        if change.max(initial=0) <= _ROUNDING:
            return picture, None
    return converted, f"its colours are converted from the profile {name:.80} to sRGB"
