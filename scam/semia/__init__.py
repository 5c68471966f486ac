# SPDX-License-Identifier: Apache-2.0
"""SemIA: learns one image with its label map, then generates it under other label maps.

After J. Li et al., "Semantic Image Analogy with a Conditional Single-Image GAN", ACM MM 2020.
"""
