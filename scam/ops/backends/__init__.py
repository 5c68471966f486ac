# SPDX-License-Identifier: Apache-2.0
"""One file per implementation of the op; ``scam.ops.dispatch`` names them in order."""
