# SPDX-License-Identifier: Apache-2.0
"""The norms and encoders of the baselines: exact fast forms against the dense ones."""

from pathlib import Path

import pytest
import torch

from benchmarks import cases
from benchmarks.baselines import contenders
from benchmarks.contest import Contest


@pytest.mark.cases(cases.BASELINES, real=True)
def test_baselines(
    case: cases.BaselineCase, contest: Contest, device: torch.device, label_maps: Path | None
) -> None:
    entered, facts = contenders(case, device, label_maps)
    contest.run("baselines", case, entered, fewest=2, **facts)
