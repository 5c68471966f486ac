# SPDX-License-Identifier: Apache-2.0
"""SemIA: one image with its label map, generated anew under other label maps."""
