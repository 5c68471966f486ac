# SPDX-License-Identifier: Apache-2.0
"""The op against other ways to compute the same, case by case."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import cases
from benchmarks.attention import contenders, make_inputs, ours, timed, traffic
from benchmarks.contest import Contender, Contest
from benchmarks.results_file import OURS


@pytest.mark.cases(cases.ATTENTION, real=True)
def test_attention(
    case: cases.AttentionCase, contest: Contest, device: torch.device, label_maps: Path | None
) -> None:
    entered, refused, inputs = contenders(case, device, label_maps)
    contest.run("attention", case, entered, refused=refused, **traffic(case, inputs))


@pytest.mark.cases(
    [
        cases.AttentionCase(suite="quick"),
        cases.AttentionCase(backward=True, suite="quick"),
        cases.AttentionCase(backward=True, reads="pixels", width=128),
    ]
)
def test_scaling(case: cases.AttentionCase, contest: Contest, device: torch.device) -> None:
    """The same pixels and latents a label under more labels, and under less orderly ones."""
    variants = {
        "s=3": replace(case, num_labels=3),
        "s=150": replace(case, num_labels=150),
        "noise": replace(case, labels="noise"),
        "one label": replace(case, labels="one"),
        "11 of 150 labels": replace(case, num_labels=150, labels="absent"),
        "NCHW": replace(case, memory="channels_first"),
    }
    entered = {
        name: Contender("part", [timed(ours, make_inputs(variant, device), case.backward)])
        for name, variant in variants.items()
    }
    entered[OURS] = Contender("ours", [timed(ours, make_inputs(case, device), case.backward)])
    contest.run("scaling", case, entered)
