# SPDX-License-Identifier: Apache-2.0
"""The commands of ``python -m scam.data``, one module each."""
