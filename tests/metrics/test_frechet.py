# SPDX-License-Identifier: Apache-2.0
"""Distances of feature sets, against closed forms and against the libraries' own numbers."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from scam.metrics import FeatureMoments, FeatureStatistics, frechet, frechet_distance
from scam.metrics import kernel_distance as kid


def features(count: int, width: int, seed: int, shift: float = 0.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=draw)
    return torch.randn(count, width, generator=draw) @ mixing / width**0.5 + shift


def statistics(x: Tensor, batch: int = 7) -> FeatureStatistics:
    moments = FeatureMoments(len(x))
    for part in x.split(batch):
        moments.update(part)
    return moments.finish()


class TestMoments:
    @pytest.mark.parametrize("batch", [1, 7, 64])
    def test_any_batching_gives_numpy_s_numbers(self, batch: int) -> None:
        x = features(50, 6, 0, shift=100.0)
        found = statistics(x, batch)
        np.testing.assert_allclose(found.mean, x.double().numpy().mean(0), rtol=1e-13)
        wanted = np.cov(x.double().numpy(), rowvar=False)
        np.testing.assert_allclose(found.covariance, wanted, rtol=1e-9, atol=1e-12)
        assert torch.equal(found.features, x)

    def test_of_many_an_even_spread_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(frechet, "RELIABLE", 10)
        x = torch.arange(35.0)[:, None]
        kept = statistics(x, 4).features.flatten()
        assert len(kept) == 10
        steps = kept.diff()
        assert steps.min() >= 3
        assert steps.max() <= 4

    def test_a_wrong_number_of_pictures(self) -> None:
        moments = FeatureMoments(3)
        moments.update(torch.zeros(2, 4))
        with pytest.raises(ValueError, match="2 images were added, expected 3"):
            moments.finish()
        with pytest.raises(ValueError, match="2 images or more, got 1"):
            FeatureMoments(1)


class TestFrechet:
    def test_two_diagonal_gaussians(self) -> None:
        def known(mean: list[float], variance: list[float]) -> FeatureStatistics:
            covariance = torch.diag(torch.tensor(variance, dtype=torch.float64))
            centre = torch.tensor(mean, dtype=torch.float64)
            return FeatureStatistics(10**6, centre, covariance, torch.zeros(1, 2))

        found = frechet_distance(known([0, 1], [4, 9]), known([3, 1], [1, 0]))
        assert found == pytest.approx(9 + (2 - 1) ** 2 + 3**2, rel=1e-12)

    @pytest.mark.parametrize(("n", "m"), [(40, 60), (9, 200), (8, 8)])
    def test_against_scipy_and_torch_fidelity(self, n: int, m: int) -> None:
        linalg = pytest.importorskip("scipy.linalg")
        one, other = features(n, 16, 1), features(m, 16, 2, shift=0.3)
        found = frechet_distance(statistics(one), statistics(other))
        arrays = [x.double().numpy() for x in (one, other)]
        means = [x.mean(0) for x in arrays]
        spread = [np.cov(x, rowvar=False) for x in arrays]
        if min(n, m) > 16:  # of singular matrices sqrtm has no digits
            root = linalg.sqrtm(spread[0] @ spread[1]).real
            step = means[0] - means[1]
            wanted = step @ step + np.trace(spread[0] + spread[1] - 2 * root)
            assert found == pytest.approx(wanted, rel=1e-9)
        fidelity = pytest.importorskip("torch_fidelity.metric_fid")
        named = [{"mu": mu, "sigma": sigma} for mu, sigma in zip(means, spread, strict=True)]
        wanted = fidelity.fid_statistics_to_metric(*named, verbose=False)
        assert found == pytest.approx(wanted["frechet_inception_distance"], rel=1e-6)

    def test_against_torchmetrics(self) -> None:
        image = pytest.importorskip("torchmetrics.image.fid")
        one, other = features(80, 12, 3), features(70, 12, 4, shift=-0.2)
        network = torch.nn.Flatten()
        network.num_features = 12
        theirs = image.FrechetInceptionDistance(feature=network, normalize=True)
        theirs.set_dtype(torch.float64)
        theirs.update(one[:, :, None, None].double(), real=True)
        theirs.update(other[:, :, None, None].double(), real=False)
        found = frechet_distance(statistics(one), statistics(other))
        assert found == pytest.approx(float(theirs.compute()), rel=1e-6)

    def test_symmetric_and_zero_for_a_set_with_itself(self) -> None:
        one, other = statistics(features(12, 32, 5)), statistics(features(300, 32, 6))
        there, back = frechet_distance(one, other), frechet_distance(other, one)
        assert there == pytest.approx(back, rel=1e-12)
        for known in (one, other):
            scale = float(known.covariance.trace())
            assert abs(frechet_distance(known, known)) < 1e-9 * scale

    def test_many_pictures_go_through_covariances(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same number whether all features are remembered or only their covariance."""
        one, other = features(60, 8, 7), features(50, 8, 8, shift=1.0)
        wanted = frechet_distance(statistics(one), statistics(other))
        monkeypatch.setattr(frechet, "RELIABLE", 10)
        few = statistics(one), statistics(other)
        assert len(few[0].features) == 10
        assert frechet_distance(*few) == pytest.approx(wanted, rel=1e-9)


class TestKernel:
    def test_against_torchmetrics(self) -> None:
        theirs = pytest.importorskip("torchmetrics.image.kid")
        one, other = features(30, 12, 1), features(30, 12, 2, shift=0.4)
        network = torch.nn.Flatten()
        network.num_features = 12
        metric = theirs.KernelInceptionDistance(feature=network, subsets=1, subset_size=30)
        metric.set_dtype(torch.float64)
        metric.update(one[:, :, None, None].double(), real=True)
        metric.update(other[:, :, None, None].double(), real=False)
        assert kid(one, other) == pytest.approx(float(metric.compute()[0]), rel=1e-5)

    def test_against_torch_fidelity(self) -> None:
        theirs = pytest.importorskip("torch_fidelity.metric_kid")
        one, other = features(24, 5, 3), features(24, 5, 4)
        found = theirs.kid_features_to_metric(
            one.double(), other.double(), kid_subsets=1, kid_subset_size=24, verbose=False
        )
        assert kid(one, other) == pytest.approx(found["kernel_inception_distance_mean"], rel=1e-9)

    def test_no_bias_however_few(self) -> None:
        """Mean 0 over many draws of two small sets of one distribution."""
        draw = torch.Generator().manual_seed(0)
        found = [
            kid(torch.randn(4, 3, generator=draw), torch.randn(6, 3, generator=draw))
            for _ in range(4000)
        ]
        error = np.std(found) / math.sqrt(len(found))
        assert abs(np.mean(found)) < 4 * error
        assert min(found) < 0

    def test_one_picture_is_no_set(self) -> None:
        with pytest.raises(ValueError, match="2 features or more, got 1 and 5"):
            kid(torch.zeros(1, 3), torch.zeros(5, 3))
