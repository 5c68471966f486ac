# SPDX-License-Identifier: Apache-2.0
"""Frozen networks that others trained, with weights by path."""
