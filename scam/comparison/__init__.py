# SPDX-License-Identifier: Apache-2.0
"""Variants of a training, trained and measured alike, in one table and one sheet."""
