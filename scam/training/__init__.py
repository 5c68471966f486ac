# SPDX-License-Identifier: Apache-2.0
"""The training engine: it knows a task, and no model, no images and no labels."""
