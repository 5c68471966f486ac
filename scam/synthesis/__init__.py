# SPDX-License-Identifier: Apache-2.0
"""The task "reconstruct pairs of image and label map"."""
