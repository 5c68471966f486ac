# SPDX-License-Identifier: Apache-2.0
"""Adversarial losses: of logit maps, one per discriminator scale, and of segmentation logits."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from scam.nn.label_mean import label_counts


def hinge_generator(fake: list[Tensor]) -> Tensor:
    """``-mean(D(fake))``, averaged over scales; each entry is (B, 1, p, q)."""
    return torch.stack([-logits.mean() for logits in fake]).mean()


def hinge_discriminator(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """``mean(relu(1 - D(real))) + mean(relu(1 + D(fake)))``, averaged over scales."""
    pairs = zip(real, fake, strict=True)
    return torch.stack([F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in pairs]).mean()


def feature_matching(
    real: list[list[Tensor]], fake: list[list[Tensor]], maps: Literal["all", "last"] = "all"
) -> Tensor:
    """Mean absolute differences of a discriminator's features, summed over its layers and averaged
    over scales (Wang et al., CVPR 2018). No gradient flows to ``real``.

    Args:
        real, fake: per scale what follows each layer, (B, C, h, w); last the logits, left out.
        maps: "last" compares only the last features before the logits, as INADE does.
    """
    layers = slice(-2 if maps == "last" else 0, -1)
    scales = []
    for ours, theirs in zip(fake, real, strict=True):
        pairs = zip(ours[layers], theirs[layers], strict=True)
        differences = [(a.float() - b.detach().float()).abs().mean() for a, b in pairs]
        scales.append(torch.stack(differences).sum())
    return torch.stack(scales).mean()


def relativistic(winner: list[Tensor], loser: list[Tensor]) -> Tensor:
    """``mean(softplus(D(loser) - D(winner)))``, averaged over scales.

    For the discriminator the real image should win, for the generator its own of the same label
    map, patch by patch (Jolicoeur-Martineau, ICLR 2019; R3GAN, NeurIPS 2024).
    """
    pairs = zip(winner, loser, strict=True)
    return torch.stack([F.softplus(lost - won).mean() for won, lost in pairs]).mean()


def count_labels(labels: Tensor, num_labels: int) -> Tensor:
    """labels (B, H, W) with -1 = no label -> pixels of each label, float64 (L,)."""
    return label_counts(labels, num_labels).sum(0)


def class_balance(counts: Tensor, pixels: float) -> Tensor:
    """Weights (L + 1,), float32, of the segmentation losses.

    A label's is ``pixels / (labels that occur * its pixels)``, so that all that occur weigh
    alike (Schoenfeld et al., ICLR 2021); the last is of the class "generated", for which
    all labelled pixels weigh alike.

    Args:
        counts: (L,) pixels of each label in the whole batch, or their mean over processes.
        pixels: all of them, labelled or not, counted likewise.
    """
    total = counts.sum()
    shares = torch.cat([counts * (counts > 0).sum(), total[None]])
    return torch.where(shares > 0, pixels / shares, 0).float()


def oasis_generator(fake: Tensor, labels: Tensor, balance: Tensor) -> Tensor:
    """Cross entropy of generated pixels with the label that they were generated for.

    Args:
        fake: (B, L + 1, H, W) logits of the segmentation discriminator.
        labels: (B, H, W), -1 = no label; such pixels have no part in any loss.
        balance: (L + 1,), see :func:`class_balance`.
    """
    # Not the op's own sum: on a GPU that adds in any order.
    losses = F.cross_entropy(
        fake.float(), labels.long(), weight=balance, ignore_index=-1, reduction="none"
    )
    return losses.mean()


def oasis_discriminator(real: Tensor, fake: Tensor, labels: Tensor, balance: Tensor) -> Tensor:
    """Cross entropy of real pixels with their label plus that of generated ones."""
    generated = torch.where(labels >= 0, real.shape[1] - 1, -1)
    return oasis_generator(real, labels, balance) + oasis_generator(fake, generated, balance)


def labelmix_mask(labels: Tensor, from_real: Tensor) -> Tensor:
    """Where a mixed image is real: whole regions of labels. (B, 1, H, W) bool.

    labels (B, H, W); from_real (B, L) bool. Pixels without a label are the generated image's.
    """
    chosen = F.pad(from_real, (0, 1))  # one slot more, at index -1
    batch = torch.arange(len(labels), device=labels.device)[:, None, None]
    return chosen[batch, labels.long()].unsqueeze(1)


def labelmix_consistency(mixed: Tensor, real: Tensor, fake: Tensor, mask: Tensor) -> Tensor:
    """Mean square of ``D(mix(x, G)) - mix(D(x), D(G))``, over logits (B, L + 1, H, W)."""
    return (mixed - torch.where(mask, real, fake)).square().mean()
