# SPDX-License-Identifier: Apache-2.0
"""Triton kernels of label pyramids; see kernels/README.md."""
