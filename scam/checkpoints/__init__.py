# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as files: weights, what they belong to, where a run keeps them."""
