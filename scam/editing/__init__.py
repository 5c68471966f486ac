# SPDX-License-Identifier: Apache-2.0
"""Changing photographs: what happens around the networks."""

from scam.editing.paste import paste_back, touched_pixels

__all__ = ["paste_back", "touched_pixels"]
