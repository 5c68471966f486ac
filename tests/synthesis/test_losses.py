# SPDX-License-Identifier: Apache-2.0
import math

import torch
from torch import Tensor

from scam.synthesis.losses import (
    class_balance,
    count_labels,
    feature_matching,
    hinge_discriminator,
    hinge_generator,
    labelmix_consistency,
    labelmix_mask,
    oasis_discriminator,
    oasis_generator,
    relativistic,
)


def scales(*values: float) -> list[Tensor]:
    """Logit maps of different sizes, one constant each."""
    return [torch.full((2, 1, 3 + i, 4), value) for i, value in enumerate(values)]


def test_generator_wants_high_logits_averaged_over_scales() -> None:
    torch.testing.assert_close(hinge_generator(scales(0.5, -0.3)), torch.tensor(-0.1))


def test_discriminator_hinge() -> None:
    loss = hinge_discriminator(scales(0.5, 2.0), scales(-0.5, -3.0))
    torch.testing.assert_close(loss, torch.tensor((0.5 + 0.5) / 2))
    loss = hinge_discriminator(scales(-1.0), scales(1.0))
    torch.testing.assert_close(loss, torch.tensor(4.0))


def test_feature_matching_sums_over_maps_and_averages_over_scales() -> None:
    real = [scales(1.0, 2.0, 9.0), scales(0.0, 0.0, 9.0)]  # logits last
    fake = [scales(1.5, 0.0, -9.0), scales(0.0, 1.0, -9.0)]
    for side in (*real, *fake):
        for x in side:
            x.requires_grad_()
    loss = feature_matching(real, fake)
    torch.testing.assert_close(loss, torch.tensor((0.5 + 2.0 + 0.0 + 1.0) / 2))
    last = feature_matching(real, fake, "last")
    torch.testing.assert_close(last, torch.tensor((2.0 + 1.0) / 2))
    last.backward()
    assert all(x.grad is None for side in real for x in side)
    assert [[x.grad is not None for x in side] for side in fake] == [[False, True, False]] * 2


def test_relativistic_compares_patch_by_patch() -> None:
    won, lost = scales(2.0, 0.5), scales(-1.0, 0.5)
    expected = (math.log(1 + math.exp(-3)) + math.log(2)) / 2
    torch.testing.assert_close(relativistic(won, lost), torch.tensor(expected))
    patches = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    loss = relativistic([patches], [patches])
    torch.testing.assert_close(loss, torch.tensor(math.log(2)))


class TestSegmentation:
    """L = 3 labels, so that class 3 is "generated"."""

    labels = torch.tensor([[[0, 0, 1], [0, -1, 2]], [[0, 2, 2], [-1, -1, 0]]], dtype=torch.int32)

    def balance(self) -> Tensor:
        return class_balance(count_labels(self.labels, 3), self.labels.numel())

    def logits(self) -> Tensor:
        return torch.randn(2, 4, 2, 3, dtype=torch.float64)

    def test_counts(self) -> None:
        assert count_labels(self.labels, 3).tolist() == [5, 1, 3]
        assert count_labels(torch.tensor([[[7, -5, 255, 2]]]), 3).tolist() == [0, 0, 1]

    def test_balance(self) -> None:
        expected = torch.tensor([12 / (3 * 5), 12 / (3 * 1), 12 / (3 * 3), 12 / 9])
        torch.testing.assert_close(self.balance(), expected)
        absent = class_balance(torch.tensor([6.0, 0.0, 2.0]), 10)
        torch.testing.assert_close(absent, torch.tensor([10 / 12, 0, 10 / 4, 10 / 8]))
        assert class_balance(torch.zeros(3), 10).tolist() == [0, 0, 0, 0]

    def test_balance_of_counts_averaged_over_processes(self) -> None:
        """A label of one pixel in one of four processes has a mean count of a quarter."""
        counts = torch.tensor([6.0, 1.0, 5.0], dtype=torch.float64)
        assert torch.equal(class_balance(counts / 4, 16 / 4), class_balance(counts, 16))

    def test_generator_is_the_mean_over_labels_of_their_pixels_mean(self) -> None:
        logits = self.logits()
        surprise = -logits.log_softmax(1)
        means = []
        for label in range(3):
            own = (self.labels == label)[:, None].expand_as(logits)[:, :1]
            means.append(surprise[:, label : label + 1][own].mean())
        found = oasis_generator(logits, self.labels, self.balance())
        torch.testing.assert_close(found.double(), torch.stack(means).mean(), rtol=1e-5, atol=0)

    def test_discriminator_adds_the_mean_over_generated_pixels(self) -> None:
        real, fake = self.logits(), self.logits()
        generated = -fake.log_softmax(1)[:, 3][self.labels >= 0].mean()
        expected = oasis_generator(real, self.labels, self.balance()) + generated.float()
        found = oasis_discriminator(real, fake, self.labels, self.balance())
        torch.testing.assert_close(found, expected)

    def test_pixels_without_a_label_have_no_part(self) -> None:
        real, fake = (self.logits().requires_grad_() for _ in range(2))
        oasis_discriminator(real, fake, self.labels, self.balance()).backward()
        nowhere = (self.labels < 0)[:, None].expand(-1, 4, -1, -1)
        for logits in (real, fake):
            assert logits.grad is not None
            assert not logits.grad[nowhere].any()
            assert logits.grad[~nowhere].all()
        none = torch.full_like(self.labels, -1)
        balance = class_balance(count_labels(none, 3), none.numel())
        assert oasis_discriminator(real, fake, none, balance) == 0

    def test_parts_of_a_batch_average_to_the_whole(self) -> None:
        real, fake, balance = self.logits(), self.logits(), self.balance()
        whole = oasis_discriminator(real, fake, self.labels, balance)
        parts = [
            oasis_discriminator(real[i : i + 1], fake[i : i + 1], self.labels[i : i + 1], balance)
            for i in range(2)
        ]
        torch.testing.assert_close(torch.stack(parts).mean(), whole)

    def test_labelmix_takes_whole_regions(self) -> None:
        from_real = torch.tensor([[True, False, True], [False, True, False]])
        mask = labelmix_mask(self.labels, from_real)
        expected = torch.tensor([[[1, 1, 0], [1, 0, 1]], [[0, 0, 0], [0, 0, 0]]]).bool()
        assert torch.equal(mask, expected[:, None])

    def test_labelmix_wants_the_mix_of_the_judgements(self) -> None:
        real, fake = self.logits(), self.logits()
        mask = labelmix_mask(self.labels, torch.tensor([[True, False, True]] * 2))
        mix = torch.where(mask, real, fake)
        assert labelmix_consistency(mix, real, fake, mask) == 0
        off = mix + 0.5 * mask
        expected = 0.25 * mask.double().mean()
        torch.testing.assert_close(labelmix_consistency(off, real, fake, mask), expected)
