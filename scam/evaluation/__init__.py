# SPDX-License-Identifier: Apache-2.0
"""What ``python -m scam.evaluate`` measures, one file per kind of measurement."""

from scam.evaluation.measure import evaluate
from scam.evaluation.options import METRICS, EvaluationOptions
from scam.evaluation.rows import Row, render

__all__ = ["METRICS", "EvaluationOptions", "Row", "evaluate", "render"]
