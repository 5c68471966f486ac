# SPDX-License-Identifier: Apache-2.0
"""The flags of the commands that edit, and what of them can be checked before any file."""
