# SPDX-License-Identifier: Apache-2.0
"""Photographs of people with the 20 labels of a human parser, merged to 3 as SCAM's iDesigner."""

from pathlib import Path

from scam.data.labels import read_merge
from scam.data.prepare.plan import IndexMaps, Plan, folder_items
from scam.data.values import LabelValues


def plan(src: Path, labels: str = "labels", ignore_label: int | None = None) -> Plan:
    """``images`` and ``<labels>``, or ``{train,val,test}`` with both; values 0 .. 19 of LIP."""
    items, problems = folder_items(src, labels)
    merge = read_merge("idesigner")
    read = IndexMaps(LabelValues.build(merge.num_source, merge, ignore_label))
    return Plan("idesigner", merge.label_set, items, read, problems=problems)
