# SPDX-License-Identifier: Apache-2.0
"""Make the README's picture: ``python docs/figures.py runs/mannequins``."""

import sys
from pathlib import Path

import scam
from scam.data import Mannequins, PairDataset
from scam.training.evaluation import paint_sheet

model = scam.load(sys.argv[1])
held_out = PairDataset(Mannequins("val"), model.config.size)
paint_sheet(model, held_out, Path(__file__).with_name("mannequins.png"), [9, 18, 3, 30])
