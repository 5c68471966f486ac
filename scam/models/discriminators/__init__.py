# SPDX-License-Identifier: Apache-2.0
"""Discriminators: of patches, and of pixels by label."""
