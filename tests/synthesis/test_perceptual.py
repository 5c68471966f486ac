# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from scam.errors import InputError
from scam.pretrained.weights import load_weights, read_state
from scam.synthesis.perceptual import (
    PyramidDistance,
    build_perceptual,
    default_weights,
    resolve_perceptual,
)


@pytest.fixture(scope="session")
def vgg19_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torchvision.models import vgg19

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "vgg19-dcbb9e9d.pth"
    network = vgg19(weights=None)
    features = {k: v for k, v in network.state_dict().items() if k.startswith("features")}
    # The classifier is 80 % of the file and never read: zeros of the right shape, stored once.
    rest = {
        k: torch.zeros(1).expand_as(v)
        for k, v in network.state_dict().items()
        if k not in features
    }
    torch.save({**features, **rest}, path)
    return path


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(2, 3, 40, 32) * 2 - 1, torch.rand(2, 3, 40, 32) * 2 - 1


class TestPyramid:
    def test_equal_pictures_have_no_distance(self) -> None:
        image, other = pictures()
        distance = PyramidDistance()
        assert distance(image, image) == 0
        assert distance(image, other) == distance(other, image) > 0

    def test_a_constant_shift_counts_by_its_size_alone(self) -> None:
        image, _ = pictures()
        shift = PyramidDistance(levels=3)(image, image + 0.3)
        torch.testing.assert_close(shift, torch.tensor(0.1), rtol=1e-4, atol=1e-5)

    def test_pictures_too_small_for_all_levels(self) -> None:
        assert PyramidDistance()(torch.zeros(1, 3, 5, 9), torch.ones(1, 3, 5, 9)) > 0


class TestVgg19:
    def test_taps_and_weights(self, vgg19_file: Path) -> None:
        """Against torchvision's own network, layer by layer."""
        from torchvision.models import vgg19

        fake, real = pictures()
        network = vgg19(weights=None).eval()
        network.load_state_dict(torch.load(vgg19_file, weights_only=True))
        wanted = torch.zeros(())
        a, b = fake, real
        weights = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}
        with torch.no_grad():
            for index, layer in enumerate(network.features[:30]):
                a, b = layer(a.clone()), layer(b.clone())
                if index in weights:
                    wanted = wanted + weights[index] * (a - b).abs().mean()
            found = build_perceptual("vgg19", vgg19_file, normalise=False)(fake, real)
        torch.testing.assert_close(found, wanted)

    def test_slices_of_no_weight_are_left_out(self, vgg19_file: Path) -> None:
        """The five weights add up; as INADE sets them, only the two deepest features count."""
        fake, real = pictures()

        def distance(*slices: float) -> torch.Tensor:
            found = build_perceptual("vgg19", vgg19_file, normalise=False, slices=slices)
            return found(fake, real).detach()

        torch.testing.assert_close(
            distance(0, 0, 0, 1 / 4, 1), distance(0, 0, 0, 0, 1) + distance(0, 0, 0, 1, 0) / 4
        )
        first = build_perceptual("vgg19", vgg19_file, slices=(1, 0, 0, 0, 0))
        assert len(list(first.features)) == 2

    def test_default_normalises_as_the_network_was_trained(self, vgg19_file: Path) -> None:
        distance = build_perceptual("vgg19", vgg19_file)
        grey = torch.tensor([0.485, 0.456, 0.406])[:, None, None].expand(1, 3, 16, 16) * 2 - 1
        first: list[torch.Tensor] = []
        distance.features[0].register_forward_hook(lambda _m, inputs, _o: first.append(inputs[0]))
        distance(grey, grey)
        assert first[0].abs().max() < 1e-6

    def test_gradient_reaches_the_picture_only(self, vgg19_file: Path) -> None:
        distance = build_perceptual("vgg19", vgg19_file)
        fake, real = pictures()
        fake.requires_grad_()
        distance(fake, real).backward()
        assert fake.grad is not None
        assert fake.grad.abs().sum() > 0
        assert all(p.grad is None for p in distance.parameters())

    @pytest.mark.parametrize("content", [b"", b"not weights", None])
    def test_a_file_that_is_no_weights(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "weights.pth"
        if content is None:
            torch.save({"features.0.weight": torch.zeros(1)}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(InputError, match=r"weights\.pth: not the expected network weights"):
            build_perceptual("vgg19", path)

    def test_a_file_that_cannot_be_read_says_why(self, tmp_path: Path) -> None:
        folder = tmp_path / "weights.pth"
        folder.mkdir()
        message = r"weights\.pth: cannot be read \(Is a directory\)$"
        for read in (read_state, lambda path: load_weights(torch.nn.Flatten(), path)):
            with pytest.raises(InputError, match=message):
                read(folder)

    def test_lpips_without_its_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "lpips", None)
        hint = r"not installed: lpips \(pip install 'semantic-cross-attention\[eval\]'"
        with pytest.raises(InputError, match=hint):
            build_perceptual("lpips", tmp_path / "any.pth")


class TestChoice:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        (tmp_path / "checkpoints").mkdir()
        return tmp_path / "checkpoints"

    def test_vgg19_by_default_where_its_weights_are(self, cache: Path) -> None:
        assert resolve_perceptual(None, None) == ("pyramid", None)
        (cache / "vgg19-dcbb9e9d.pth").touch()
        assert resolve_perceptual(None, None) == ("vgg19", default_weights("vgg19"))

    def test_by_name(self, cache: Path, tmp_path: Path) -> None:
        assert resolve_perceptual("none", None) == ("none", None)
        assert resolve_perceptual("pyramid", None) == ("pyramid", None)
        other = tmp_path / "mine.pth"
        other.touch()
        assert resolve_perceptual("lpips", other) == ("lpips", other)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("vgg16", "perceptual='vgg16': expected vgg19, lpips, pyramid or none"),
            ("vgg19", "no weights at .*vgg19-dcbb9e9d.pth"),
            ("lpips", "no weights at .*vgg16-397923af.pth"),
        ],
    )
    def test_nothing_is_downloaded(self, name: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            resolve_perceptual(name, None)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            (None, r"perceptual_weights='mine\.pth': no such file, expected .*'s vgg19-dcbb9e9d"),
            ("pyramid", r"perceptual_weights='mine\.pth': perceptual='pyramid' takes none"),
            ("none", "perceptual='none' takes none"),
        ],
    )
    def test_given_weights_are_used_or_refused(self, name: str | None, message: str) -> None:
        with pytest.raises(InputError, match=message):
            resolve_perceptual(name, Path("mine.pth"))


def test_lpips_with_a_given_trunk(tmp_path: Path) -> None:
    pytest.importorskip("lpips")
    from torchvision.models import vgg16

    torch.manual_seed(0)
    network = vgg16(weights=None)
    path = tmp_path / "vgg16.pth"
    torch.save({k: v for k, v in network.state_dict().items() if k.startswith("features")}, path)
    distance = build_perceptual("lpips", path)
    trunk = dict(distance.distance.net.named_parameters())
    assert torch.equal(trunk["slice1.0.weight"], network.features[0].weight)
    assert torch.equal(trunk["slice5.28.bias"], network.features[28].bias)
    fake, real = (torch.rand(1, 3, 64, 64) * 2 - 1 for _ in range(2))
    assert distance(fake, fake) == 0
    assert distance(fake, real) > 0


@pytest.mark.parametrize("name", ["none", "vgg16"])
def test_nothing_stands_in_for_a_loss_that_is_none(name: Any) -> None:
    with pytest.raises(ValueError, match=f"perceptual '{name}': expected vgg19, lpips or pyramid"):
        build_perceptual(name, None)
