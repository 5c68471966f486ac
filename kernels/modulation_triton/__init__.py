# SPDX-License-Identifier: Apache-2.0
"""Triton kernels of semantic modulation; see kernels/README.md."""
