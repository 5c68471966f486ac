# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: `pytest benchmarks --benchmark-only`; see README.md beside this file."""
