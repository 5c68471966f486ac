# SPDX-License-Identifier: Apache-2.0
"""Makes ``scam.kernels`` the package of device code: ``kernels/`` beside ``scam/`` in a checkout,
``scam/_kernels/`` where scam is installed."""

from pathlib import Path

_installed = Path(__file__).resolve().parents[1] / "_kernels"
__path__ = [str(_installed if _installed.is_dir() else _installed.parents[1] / "kernels")]
