# SPDX-License-Identifier: Apache-2.0
"""What a setting may be: checked dataclasses, environment variables."""
