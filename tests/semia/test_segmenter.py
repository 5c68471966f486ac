# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F

from scam.semia.segmenter import Segmenter, segmentation_loss


@pytest.mark.parametrize("size", [(16, 24), (13, 9), (1, 1), (7, 30)])
def test_logits_have_the_image_s_size(size: tuple[int, int]) -> None:
    network = Segmenter(3, width=4)
    assert network(torch.randn(2, 3, *size)).shape == (2, 3, *size)


def test_fewer_levels() -> None:
    assert Segmenter(2, width=4, levels=1)(torch.randn(1, 3, 5, 6)).shape == (1, 2, 5, 6)


def test_a_far_change_changes_nothing() -> None:
    """No statistics of the whole image are taken: the layout of the rest does not matter."""
    network = Segmenter(2, width=4, levels=1)
    image = torch.randn(1, 3, 8, 64)
    other = image.clone()
    other[..., 40:] += 1
    one, two = network(image), network(other)
    assert torch.equal(one[..., :16], two[..., :16])
    assert not torch.equal(one, two)


def test_gradients_reach_the_image_of_a_frozen_network() -> None:
    network = Segmenter(2, width=4).requires_grad_(False)
    image = torch.randn(1, 3, 9, 9, requires_grad=True)
    segmentation_loss(network(image), torch.ones(1, 9, 9, dtype=torch.int64)).backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


def test_labels_weigh_as_the_square_root_of_their_pixels() -> None:
    labels = torch.tensor([[[0, 0, 0, 0], [1, -1, -1, -1]]])
    logits = torch.randn(1, 3, 2, 4)
    entropy = F.cross_entropy(logits, labels.clamp(min=0), reduction="none")[0]
    wanted = (2 * entropy[0].mean() + entropy[1, 0]) / 3
    torch.testing.assert_close(segmentation_loss(logits, labels), wanted)


def test_without_labels_the_loss_is_zero() -> None:
    logits = torch.randn(1, 3, 2, 4, requires_grad=True)
    loss = segmentation_loss(logits, torch.full((1, 2, 4), -1))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_ignored_pixels_have_no_say() -> None:
    labels = torch.tensor([[[0, 1, -7, -1]]])
    logits = torch.randn(1, 2, 1, 4)
    changed = logits.clone()
    changed[..., 2:] += 5
    assert segmentation_loss(logits, labels) == segmentation_loss(changed, labels)
