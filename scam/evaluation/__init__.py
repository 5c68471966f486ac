# SPDX-License-Identifier: Apache-2.0
"""What ``python -m scam.evaluate`` measures, one file per kind of measurement."""
