# SPDX-License-Identifier: Apache-2.0
"""A page in the browser where photographs are edited by label map."""
