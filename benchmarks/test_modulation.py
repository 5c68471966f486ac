# SPDX-License-Identifier: Apache-2.0
"""Pixels read tokens and are modulated: one op against the chain of layers it replaces."""

from pathlib import Path

import pytest
import torch

from benchmarks import cases
from benchmarks.contest import Contest
from benchmarks.modulation import contenders, traffic


@pytest.mark.cases(cases.MODULATION, real=True)
def test_modulation(
    case: cases.ModulationCase, contest: Contest, device: torch.device, label_maps: Path | None
) -> None:
    entered, refused, half = contenders(case, device, label_maps)
    contest.run("modulation", case, entered, refused=refused, **traffic(case, half))
