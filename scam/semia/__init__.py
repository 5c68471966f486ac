# SPDX-License-Identifier: Apache-2.0
"""SemIA: one picture and its label map, generated anew under any other layout of the labels."""
