# SPDX-License-Identifier: Apache-2.0
"""Triton kernels of the affine by index; see kernels/README.md."""
