# SPDX-License-Identifier: Apache-2.0
"""From the layouts in which data sets are distributed to the folders that training reads."""

from scam.data.prepare.plan import Item, Plan
from scam.data.prepare.write import RECORD, describe_folder, write_plan

__all__ = ["RECORD", "Item", "Plan", "describe_folder", "write_plan"]
