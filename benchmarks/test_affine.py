# SPDX-License-Identifier: Apache-2.0
"""Scale and shift looked up by pixel: one op against gathering maps of them."""

from pathlib import Path

import pytest
import torch

from benchmarks import cases
from benchmarks.affine import contenders, traffic
from benchmarks.contest import Contest


@pytest.mark.cases(cases.AFFINE, real=True)
def test_affine(
    case: cases.AffineCase, contest: Contest, device: torch.device, label_maps: Path | None
) -> None:
    entered, refused, inputs = contenders(case, device, label_maps)
    contest.run("affine", case, entered, refused=refused, **traffic(case, inputs))
