# SPDX-License-Identifier: Apache-2.0
"""Semantic image analogy: one image with its label map, generated again under another label map.

After Li et al., "Semantic Image Analogy with a Conditional Single-Image GAN" (ACM MM 2020).
"""
