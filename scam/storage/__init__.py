# SPDX-License-Identifier: Apache-2.0
"""Files and folders: written aside and renamed, locked, never overwritten unasked."""
