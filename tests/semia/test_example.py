# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from scam.errors import InputError
from scam.semia.landscape.example import Example, example
from scam.semia.landscape.noise import fractal_noise, hashed
from scam.semia.landscape.scene import BOAT, LAKE, MOUNTAIN, NAMES, TREE

APPLICATIONS = {"move", "enlarge", "remove", "duplicate", "reshape", "retarget", "sketch"}


@pytest.fixture(scope="module")
def landscape() -> Example:
    return example()


def share(labels: torch.Tensor, label: int) -> float:
    return (labels == label).double().mean().item()


def test_shapes_and_labels(landscape: Example) -> None:
    assert landscape.image.shape == (3, 160, 240)
    assert landscape.image.dtype == torch.uint8
    assert landscape.labels.shape == (160, 240)
    assert landscape.labels.dtype == torch.int64
    assert landscape.names == NAMES
    assert landscape.labels.unique().tolist() == list(range(len(NAMES)))
    assert min(share(landscape.labels, label) for label in range(len(NAMES))) > 0.005


def test_every_application_has_a_target_of_source_labels(landscape: Example) -> None:
    known = set(landscape.labels.unique().tolist())
    assert set(landscape.targets) == APPLICATIONS
    for name, target in landscape.targets.items():
        assert target.dtype == torch.int64
        assert set(target.unique().tolist()) <= known
        assert target.shape == ((160, 320) if name == "retarget" else (160, 240))
        if name != "retarget":
            assert 0.005 < (target != landscape.labels).double().mean() < 0.7


def test_targets_do_what_they_say(landscape: Example) -> None:
    source, targets = landscape.labels, landscape.targets

    def side(labels: torch.Tensor) -> float:
        """Mean column of the trees, -1 .. 1."""
        columns = (labels == TREE).nonzero()[:, 1].double()
        return columns.mean().item() / labels.shape[1] * 2 - 1

    assert side(source) < -0.3
    assert side(targets["move"]) > 0.3
    assert share(targets["move"], TREE) > 0.7 * share(source, TREE)
    assert share(targets["enlarge"], MOUNTAIN) > 1.3 * share(source, MOUNTAIN)
    assert share(targets["remove"], BOAT) == 0
    assert torch.equal(targets["remove"] != source, source == BOAT)
    assert share(targets["duplicate"], TREE) > 1.2 * share(source, TREE)
    assert (targets["reshape"] == LAKE)[130:].any()
    assert not (source == LAKE)[130:].any()
    assert set(targets["sketch"].unique().tolist()) == set(range(len(NAMES)))


def test_drawn_twice_it_is_the_same() -> None:
    first, again = example(48, 64), example(48, 64)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.labels, again.labels)
    assert all(torch.equal(first.targets[k], again.targets[k]) for k in APPLICATIONS)


@pytest.mark.parametrize("size", [(32, 32), (40, 71), (75, 33)])
def test_any_size_has_every_label(size: tuple[int, int]) -> None:
    small = example(*size)
    assert small.image.shape == (3, *size)
    assert small.labels.shape == size
    assert small.labels.unique().tolist() == list(range(len(NAMES)))


def test_another_size_shows_the_same(landscape: Example) -> None:
    small = example(80, 120)
    halved = landscape.labels[1::2, 1::2]
    assert (small.labels == halved).double().mean() > 0.97
    coarse = F.avg_pool2d(landscape.image.float(), 8)
    assert (F.avg_pool2d(small.image.float(), 4) - coarse).abs().mean() < 10


def test_image_and_labels_agree(landscape: Example) -> None:
    """The sky is the bluest region, and the meadow is greener than blue."""
    image = landscape.image.double()
    colours = [image[:, landscape.labels == label].mean(1) for label in range(len(NAMES))]
    blue = [float(c[2] - c[0]) for c in colours]
    assert np.argmax(blue) == NAMES.index("sky")
    meadow = colours[NAMES.index("meadow")]
    assert meadow[1] > meadow[2] + 30
    for label in range(len(NAMES)):
        assert image[:, landscape.labels == label].std(1).mean() > 10


def test_a_label_map_fits_a_png(landscape: Example) -> None:
    assert Image.fromarray(landscape.labels.numpy().astype(np.uint8)).mode == "L"


def test_noise_is_of_the_place_alone() -> None:
    x = np.linspace(-3, 3, 50, dtype=np.float32)
    whole = fractal_noise(x, 2 * x, 4, 7)
    assert np.array_equal(whole[10:20], fractal_noise(x[10:20], 2 * x[10:20], 4, 7))
    assert not np.array_equal(whole, fractal_noise(x, 2 * x, 4, 8))
    uniform = hashed(np.arange(-500, 500), 3, 1)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.05


def test_too_small_is_refused() -> None:
    with pytest.raises(InputError, match=r"width=31: expected 32 or more"):
        example(40, 31)
