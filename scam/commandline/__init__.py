# SPDX-License-Identifier: Apache-2.0
"""What the commands share: parser, flags, progress, how an error is printed."""
