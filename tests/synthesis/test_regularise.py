# SPDX-License-Identifier: Apache-2.0
import torch
from torch import Tensor, nn

from scam.synthesis.regularise import SIGMA, LeCam, approximated_penalty, mean_logits


def scales(*means: list[float]) -> list[Tensor]:
    """Logit maps of different sizes, one constant per picture."""
    return [
        torch.tensor(of_pictures, dtype=torch.float64)[:, None, None, None].expand(-1, 1, 3 + i, 4)
        for i, of_pictures in enumerate(means)
    ]


def with_averages(real: list[float], fake: list[float]) -> LeCam:
    lecam = LeCam(len(real)).double()
    lecam.update(torch.tensor([real, fake], dtype=torch.float64).T)
    return lecam


def test_lecam_is_zero_where_each_side_meets_the_others_average() -> None:
    lecam = with_averages(real=[0.4, -0.2], fake=[-0.1, 0.6])
    none = lecam(scales([-0.1, -0.1], [0.6, 0.6]), scales([0.4, 0.4], [-0.2, -0.2]))
    assert abs(float(none)) < 1e-12
    equal = with_averages(real=[0.3, 0.3], fake=[0.3, 0.3])
    assert abs(float(equal(scales([0.3], [0.3]), scales([0.3], [0.3])))) < 1e-12


def test_lecam_against_its_formula() -> None:
    lecam = with_averages(real=[0.4, -0.2], fake=[-0.1, 0.6])
    real, fake = scales([1.0, 2.0], [0.0, 1.0]), scales([-1.0, 0.0], [0.5, 0.5])
    first = ((1 + 0.1) ** 2 + (2 + 0.1) ** 2) / 2 + ((-1 - 0.4) ** 2 + (0 - 0.4) ** 2) / 2
    second = ((0 - 0.6) ** 2 + (1 - 0.6) ** 2) / 2 + (0.5 + 0.2) ** 2
    assert abs(float(lecam(real, fake)) - (first + second) / 2) < 1e-12


def test_lecam_takes_the_mean_over_patches_first() -> None:
    lecam = with_averages(real=[0.0], fake=[0.0])
    patches = torch.tensor([-1.0, 1.0], dtype=torch.float64).view(1, 1, 1, 2)
    assert float(lecam([patches], [patches])) == 0


def test_lecam_averages_forget_their_start_and_skip_what_is_not_finite() -> None:
    lecam = LeCam(1, decay=0.9).double()
    logits = scales([1.0])
    assert float(lecam(logits, logits)) == 0, "nothing is known before the first step"
    for value in (2.0, 4.0):
        lecam.update(torch.tensor([[value, -value]], dtype=torch.float64))
    mean = (0.9 * 0.1 * 2 + 0.1 * 4) / (1 - 0.9**2)
    expected = (1 + mean) ** 2 + (1 - mean) ** 2
    assert abs(float(lecam(logits, logits)) - expected) < 1e-12
    before = {name: value.clone() for name, value in lecam.state_dict().items()}
    lecam.update(torch.tensor([[torch.nan, 0.0]], dtype=torch.float64))
    assert all(torch.equal(before[name], value) for name, value in lecam.state_dict().items())


def test_lecam_pulls_the_logits_and_not_the_averages() -> None:
    lecam = with_averages(real=[0.5], fake=[-0.5])
    real, fake = (torch.zeros(2, 1, 3, 3, requires_grad=True) for _ in range(2))
    lecam([real], [fake]).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert (real.grad > 0).all(), "down, towards the generated average"
    assert (fake.grad < 0).all()
    assert not list(lecam.parameters())


def test_mean_logits() -> None:
    means = mean_logits(scales([1.0, 3.0], [0.0, 0.0]), scales([-1.0, -1.0], [5.0, 7.0]))
    assert means.tolist() == [[2.0, -1.0], [0.0, 6.0]]


def test_approximated_penalty_tends_to_the_squared_gradient() -> None:
    """Of a smooth network: the mean over noise against autograd's, within the sampling error."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Conv2d(8, 1, 6)).double()
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    logit = network(x)  # (1, 1, 1, 1)
    (gradient,) = torch.autograd.grad(logit.sum(), x)
    exact = float(gradient.square().sum())
    many = x.detach().expand(4000, -1, -1, -1)
    with torch.no_grad():
        still, nudged = network(many), network(many + SIGMA * torch.randn_like(many))
    # (gradient . n)^2 has the standard deviation sqrt(2) times its mean.
    assert abs(float(approximated_penalty([still], [nudged])) / exact - 1) < 0.1


def test_approximated_penalty_averages_over_scales() -> None:
    still = [torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 2, 2)]
    moved = [torch.full((2, 1, 4, 4), 2 * SIGMA), torch.full((2, 1, 2, 2), SIGMA)]
    torch.testing.assert_close(approximated_penalty(still, moved), torch.tensor(2.5))
