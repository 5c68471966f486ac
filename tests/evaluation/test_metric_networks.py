# SPDX-License-Identifier: Apache-2.0
"""Loading of other people's networks, with random weights saved in their formats."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from scam.checkpoints.weights import state_digest
from scam.errors import InputError, MissingError, NotInstalledError, NoWeightsError
from scam.evaluation import quality
from scam.pretrained.features import CustomExtractor, DinoV2, Inception, person_network
from scam.pretrained.lpips import lpips_distance
from scam.pretrained.weights import package, weights_file
from scam.synthesis.perceptual import PyramidDistance


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's cache folder, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path


def saved(network: nn.Module, path: Path) -> Path:
    torch.save(network.state_dict(), path)
    return path


class TestWeightsFile:
    def test_given_cached_or_missing(self, cache: Path) -> None:
        with pytest.raises(NoWeightsError, match=r"no weights: put net\.pth into .* or name it"):
            weights_file("net", None, "net.pth")
        (cache / "checkpoints" / "net.pth").touch()
        found = weights_file("net", None, "net.pth")
        assert found == cache / "checkpoints" / "net.pth"
        (cache / "mine.pth").touch()
        assert weights_file("net", cache / "mine.pth", "net.pth").name == "mine.pth"

    def test_what_was_named_must_be_there(self, cache: Path) -> None:
        (cache / "checkpoints" / "net.pth").touch()
        with pytest.raises(InputError, match=r"net=.*other\.pth': no such file"):
            weights_file("net", cache / "other.pth", "net.pth")

    def test_a_package_that_is_not_installed(self) -> None:
        hint = r"not installed: nosuch \(pip install 'semantic-cross-attention\[eval\]'\)"
        with pytest.raises(NotInstalledError, match=hint):
            package("nosuch.part")


class TestInception:
    def test_features_are_torch_fidelity_s(self, inception_weights: Path) -> None:
        theirs = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
        extractor = theirs.FeatureExtractorInceptionV3("x", ["2048"], str(inception_weights))
        pictures = torch.randint(0, 256, (2, 3, 40, 24), dtype=torch.uint8)
        found = Inception(inception_weights)(pictures)
        assert found.shape == (2, 2048)
        assert torch.equal(found, extractor(pictures)[0])
        assert found.std() > 0

    def test_another_file(self, tmp_path: Path) -> None:
        pytest.importorskip("torch_fidelity")
        other = saved(nn.Linear(2, 2), tmp_path / "linear.pth")
        with pytest.raises(InputError, match=r"linear\.pth: not torch-fidelity's Inception"):
            Inception(other)
        (tmp_path / "text.pth").write_text("no weights")
        with pytest.raises(InputError, match=r"text\.pth: no PyTorch state dict"):
            Inception(tmp_path / "text.pth")

    def test_a_file_that_would_run_code(self, tmp_path: Path) -> None:
        pytest.importorskip("torch_fidelity")
        touched = tmp_path / "touched"

        class Evil:
            def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
                return Path.touch, (touched,)

        torch.save({"fc.weight": Evil()}, tmp_path / "evil.pth")
        with pytest.raises(InputError, match=r"evil\.pth: no PyTorch state dict"):
            Inception(tmp_path / "evil.pth")
        assert not touched.exists()


@pytest.mark.parametrize(
    ("net", "model"),
    [("alex", "alexnet"), pytest.param("vgg", "vgg16", marks=pytest.mark.slow)],
)
def test_lpips_is_the_package_s(net: str, model: str, tmp_path: Path) -> None:
    lpips = pytest.importorskip("lpips")
    import torchvision

    torch.manual_seed(1)
    trunk = getattr(torchvision.models, model)(weights=None)
    path = tmp_path / "trunk.pth"
    torch.save({k: v for k, v in trunk.state_dict().items() if k.startswith("features")}, path)
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    for part in theirs.net.children():
        for index, layer in part.named_children():
            layer.load_state_dict(trunk.features[int(index)].state_dict())
    one, other = (torch.rand(2, 3, 64, 48) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        found = lpips_distance(net, path)(one, other)
        assert torch.equal(found, theirs(one, other))
    assert found.flatten().min() > 0


def test_lpips_of_tiny_pictures(tmp_path: Path) -> None:
    (tmp_path / "any.pth").touch()
    with pytest.raises(MissingError, match=r"images are 16x64 .*, expected 32 a side or more"):
        quality.lpips_meter("alex", tmp_path / "any.pth", (16, 64), torch.device("cpu"))


def test_ssim_is_torchmetrics_(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = pytest.importorskip("torchmetrics.image")

    class Batch:
        image = torch.rand(3, 3, 24, 20) * 2 - 1
        reconstruction = (image + 0.1 * torch.randn(3, 3, 24, 20)).clamp(-1, 1)

    meter = quality.ssim_meter()
    meter.update(Batch())  # type: ignore[arg-type]  # all that it needs
    meter.update(Batch())  # type: ignore[arg-type]
    (row,) = meter.rows()
    metric = theirs.StructuralSimilarityIndexMeasure(data_range=2.0)
    assert row.value == pytest.approx(float(metric(Batch.reconstruction, Batch.image)), abs=1e-6)
    assert row.n == 6


def generated(real: Tensor, reconstruction: Tensor) -> SimpleNamespace:
    return SimpleNamespace(image=real, reconstruction=reconstruction)


def test_pyramid_is_the_training_loss_of_each_picture() -> None:
    real, other = (torch.rand(3, 3, 24, 20) * 2 - 1 for _ in range(2))
    meter = quality.pyramid_meter()
    meter.update(generated(real, other))  # type: ignore[arg-type]  # all that it needs
    (row,) = meter.rows()
    assert row.value == pytest.approx(float(PyramidDistance()(other, real)), rel=1e-5)
    assert (row.n, row.better) == (3, "lower")


def test_detail_is_one_for_the_picture_itself_and_less_for_blur() -> None:
    real = torch.rand(2, 3, 24, 20) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(real, 3, stride=1, padding=1)
    found = []
    for reconstruction in (real, 0.5 * real, blurred):
        meter = quality.detail_meter()
        meter.update(generated(real, reconstruction))  # type: ignore[arg-type]
        found.append(meter.rows()[0].value)
    assert found[0] == pytest.approx(1)
    assert found[1] == pytest.approx(0.5)
    assert found[2] is not None
    assert found[2] < 0.5


class TestDinoV2:
    HUB = (
        "import torch\n"
        "def dinov2_vits14(pretrained=True):\n"
        "    assert not pretrained\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 5, 14, 14), torch.nn.Flatten(),\n"
        "                               torch.nn.AdaptiveAvgPool1d(6))\n"
        "dinov2_vits14_reg = dinov2_vits14\n"
    )

    def test_code_and_weights_come_from_the_cache(self, cache: Path) -> None:
        code = cache / "facebookresearch_dinov2_main"
        code.mkdir()
        weights = cache / "checkpoints" / "dinov2_vits14_pretrain.pth"
        conv = nn.Conv2d(3, 5, 14, 14)
        torch.save({"0.weight": conv.weight, "0.bias": conv.bias}, weights)
        with pytest.raises(
            NotInstalledError, match=r"not installed: .* \(git clone https://.* .*dinov2_main\)"
        ):
            DinoV2(weights)
        (code / "hubconf.py").write_text(self.HUB)
        network = DinoV2(weights)
        assert network.name == "dinov2_vits14"
        grey = torch.full((2, 3, 20, 30), 128, dtype=torch.uint8)
        seen: list[Tensor] = []
        network.network[0].register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
        assert network(grey).shape == (2, 6)
        assert seen[0].shape == (2, 3, 224, 224)
        wanted = (128 / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
            [0.229, 0.224, 0.225]
        )
        torch.testing.assert_close(seen[0].mean((0, 2, 3)), wanted, rtol=1e-4, atol=1e-5)
        assert torch.equal(network.network[0].weight, conv.weight)

    def test_register_tokens_are_counted_in_the_file_s_name_alone(self, cache: Path) -> None:
        code = cache / "facebookresearch_dinov2_main"
        code.mkdir()
        (code / "hubconf.py").write_text(self.HUB)
        conv = nn.Conv2d(3, 5, 14, 14)
        weights = cache / "dinov2_vits14_reg4_pretrain.pth"
        torch.save({"0.weight": conv.weight, "0.bias": conv.bias}, weights)
        assert DinoV2(weights).name == "dinov2_vits14_reg4"

    def test_another_size_than_the_weights(self, cache: Path) -> None:
        code = cache / "facebookresearch_dinov2_main"
        code.mkdir()
        (code / "hubconf.py").write_text(self.HUB)
        weights = saved(nn.Linear(1, 1), cache / "dinov2_vits14_pretrain.pth")
        with pytest.raises(InputError, match="not the expected network weights"):
            DinoV2(weights)
        other = saved(nn.Linear(1, 1), cache / "dinov2_vitx14_pretrain.pth")
        with pytest.raises(InputError, match="makes no dinov2_vitx14"):
            DinoV2(other)


class TestCustomExtractor:
    @pytest.fixture(autouse=True)
    def module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "my_networks.py").write_text(
            "import torch\n"
            "class Mean(torch.nn.Module):\n"
            "    def forward(self, x): return x.float().mean((2, 3))\n"
            "def flat(): return torch.nn.Flatten(0)\n"
            "def broken(): raise OSError('no disk')\n"
            "def number(): return 3\n"
        )
        monkeypatch.syspath_prepend(tmp_path)

    def test_features(self) -> None:
        found = CustomExtractor("my_networks:Mean")(torch.ones(4, 3, 8, 8, dtype=torch.uint8))
        assert found.shape == (4, 3)

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("my_networks", "expected MODULE:FUNCTION"),
            ("no_such_module:f", "No module named 'no_such_module'"),
            ("my_networks:nothing", "has no attribute 'nothing'"),
            ("my_networks:broken", "no disk"),
            ("my_networks:number", "made a int, no nn.Module"),
        ],
    )
    def test_not_a_network(self, spec: str, message: str) -> None:
        with pytest.raises(InputError, match=f"extractor='{spec}': .*{message}"):
            CustomExtractor(spec)

    def test_not_features(self) -> None:
        network = CustomExtractor("my_networks:flat")
        with pytest.raises(InputError, match=r"returned \(192,\) for \(1, 3, 8, 8\), expected"):
            network(torch.ones(1, 3, 8, 8, dtype=torch.uint8))


@pytest.fixture(scope="module")
def person_state() -> dict[str, Tensor]:
    from torchvision.models import resnet50

    torch.manual_seed(2)
    return dict(resnet50(weights=None).state_dict())


class TestPersonNetwork:
    @pytest.mark.parametrize("form", ["plain", "without fc", "moco"])
    def test_formats(self, form: str, person_state: dict[str, Tensor], tmp_path: Path) -> None:
        state = person_state
        body = {k: v for k, v in state.items() if not k.startswith("fc.")}
        content: dict[str, object] = {"plain": state, "without fc": body}.get(form, {})
        if form == "moco":
            prefix = "module.encoder_q."
            inner = {prefix + k: v for k, v in state.items()}
            inner["module.encoder_k.conv1.weight"] = torch.zeros(1)
            content = {"epoch": 3, "state_dict": inner}
        torch.save(content, tmp_path / "person.pth")
        network = person_network(tmp_path / "person.pth").eval()
        shapes: list[tuple[int, ...]] = []
        network.layer4.register_forward_hook(lambda _m, _i, out: shapes.append(out.shape[1:]))
        with torch.no_grad():
            assert network(torch.zeros(1, 3, 256, 128)).shape == (1, 2048)
        assert shapes == [(2048, 16, 8)]
        assert torch.equal(network.layer3[1].conv2.weight, state["layer3.1.conv2.weight"])

    def test_weights_of_something_else(self, tmp_path: Path) -> None:
        other = saved(nn.Linear(2, 2), tmp_path / "linear.pth")
        with pytest.raises(InputError, match=r"linear\.pth: not the weights of a ResNet-50") as e:
            person_network(other)
        assert "\n" not in str(e.value)
        torch.save([1], tmp_path / "list.pth")
        with pytest.raises(InputError, match=r"list\.pth: no PyTorch state dict, but a list"):
            person_network(tmp_path / "list.pth")
        torch.save({0: torch.ones(1)}, tmp_path / "numbers.pth")
        with pytest.raises(InputError, match=r"numbers\.pth: no PyTorch state dict, but a dict"):
            person_network(tmp_path / "numbers.pth")


def test_digests_tell_weights_apart() -> None:
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before = state_digest(one.state_dict())
    assert state_digest(one.state_dict()) == before
    with torch.no_grad():
        one[0].bias[0] += 1e-6
    assert state_digest(one.state_dict()) != before
