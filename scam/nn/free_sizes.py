# SPDX-License-Identifier: Apache-2.0
"""Sizes that torch.compile and torch.export leave free."""

import torch


def is_free(size: int) -> bool:
    """Whether ``size`` stands for any number in a graph that is traced now.

    Comparing or converting it would bind the graph to a range of numbers, or to one.
    """
    if not torch.compiler.is_compiling():
        return False
    from torch.fx.experimental.symbolic_shapes import has_static_value

    return not has_static_value(size)
