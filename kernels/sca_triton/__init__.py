# SPDX-License-Identifier: Apache-2.0
"""Triton kernels of semantic cross attention; see kernels/README.md."""
