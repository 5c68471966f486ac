# SPDX-License-Identifier: Apache-2.0
"""Attention between elements of the same label, what it modulates, and affines by index."""

from scam.ops.affine import explain_affine, indexed_affine
from scam.ops.attention import explain, semantic_cross_attention
from scam.ops.attention_map import semantic_attention_map
from scam.ops.dispatch import backend_names, use_backend
from scam.ops.layout import Labels, SemanticLayout
from scam.ops.modulation import explain_modulation, semantic_modulation

__all__ = [
    "Labels",
    "SemanticLayout",
    "backend_names",
    "explain",
    "explain_affine",
    "explain_modulation",
    "indexed_affine",
    "semantic_attention_map",
    "semantic_cross_attention",
    "semantic_modulation",
    "use_backend",
]
