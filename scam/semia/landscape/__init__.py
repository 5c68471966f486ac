# SPDX-License-Identifier: Apache-2.0
"""A drawn mountain lake with its exact label map, at any size, and other layouts of it."""
