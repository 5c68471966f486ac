# SPDX-License-Identifier: Apache-2.0
"""GroupDNet: networks of the stated sizes, regions by themselves, fused as dense."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scam.errors import InputError
from scam.models import spade as spade_module
from scam.models.groupdnet import GroupDNet, GroupDNetConfig
from scam.models.spade import LabelBranch
from scam.nn.label_patches import LabelPatches
from scam.nn.label_regions import label_regions

LABELS = 5
PORTRAIT = (40, 26)
# spec: the published network for ADE20K has a last block that nothing reads.
UNREAD = 1_868_132
# spec: 76,501,358 with the map of instances' edges.
WITHOUT_EDGES = 76_417_253


def tiny(size: tuple[int, int] = PORTRAIT, **changes: Any) -> GroupDNet:
    torch.manual_seed(0)
    settings = {"num_labels": LABELS, "width": 4, "levels": 3, "token_dim": 32, **changes}
    model = GroupDNet(GroupDNetConfig(size=size, **settings))
    with torch.no_grad():
        for parameter in model.parameters():  # off the small weights and zeros of the beginning
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def pictures(size: tuple[int, int] = PORTRAIT) -> tuple[Tensor, Tensor]:
    """Images and maps; no map holds label 3, only one holds 4, and some pixels are ignored."""
    source = torch.Generator().manual_seed(1)
    labels = torch.zeros(2, *size, dtype=torch.long)
    labels[:, size[0] // 3 :, 5:20] = 1
    labels[0, :8, :8] = torch.randint(-1, 3, (8, 8), generator=source)
    labels[1, 2, 2] = 4
    return torch.rand(2, 3, *size, generator=source) * 2 - 1, labels


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("fidelity", "num_labels", "generator", "encoder"),
    [
        ("paper", 8, 96_324_451, 12_835_712),
        ("matched", 8, 96_324_451, 12_835_712),
        ("paper", 35, WITHOUT_EDGES, 5_768_210),
        ("paper", 151, 68_326_847 - UNREAD, 4_411_012),
        ("released", 3, 4_559_547, 4_816_368),
        ("released", 19, 6_609_381, 30_503_664),
        ("released", 151, None, 242_423_856),
    ],
)
def test_counts(fidelity: Any, num_labels: int, generator: int | None, encoder: int) -> None:
    config = GroupDNetConfig(num_labels=num_labels, size=(256, 256), fidelity=fidelity)
    with torch.device("meta"):
        model = GroupDNet(config)
    assert count(model.encoder) == encoder
    found = count(model) - count(model.encoder)
    assert generator in (found, None)
    assert found / 20 < config.least_parameters < found


@pytest.mark.parametrize("num_labels", [1, 2, 3, 7, 19, 35, 100, 151, 1000])
@pytest.mark.parametrize("fidelity", ["matched", "released"])
@pytest.mark.parametrize(("width", "levels"), [(64, 6), (16, 4), (20, 2), (64, 8)])
def test_groups_divide_channels(num_labels: int, fidelity: Any, width: int, levels: int) -> None:
    size = (512, 512)
    config = GroupDNetConfig(num_labels, size, fidelity=fidelity, width=width, levels=levels)
    blocks = config.plan.blocks
    assert len(blocks) == levels + 1 == len(config.sizes)
    assert blocks[0].entering % num_labels == 0
    assert blocks[-1].groups == 1
    for block in blocks:
        for groups in (block.groups, block.norm.groups):
            assert block.entering % groups == block.leaving % groups == 0
        assert block.norm.hidden % block.norm.groups == 0
        assert block.norm.hidden % block.norm.label_groups == 0
        assert num_labels % block.norm.label_groups == 0


def test_other_label_numbers_are_as_wide_as_the_published() -> None:
    for num_labels in (3, 19, 20, 60, 100):
        with torch.device("meta"):
            model = GroupDNet(GroupDNetConfig(num_labels=num_labels, size=(256, 256)))
        assert 55e6 < count(model) - count(model.encoder) < 100e6


@pytest.mark.parametrize("fidelity", ["matched", "released"])
@pytest.mark.parametrize(
    ("size", "levels", "sizes"),
    [
        ((256, 256), 6, [(4 << i, 4 << i) for i in range(7)]),
        ((256, 170), 6, [(4, 3), (8, 6), (16, 11), (32, 22), (64, 43), (128, 85), (256, 170)]),
        ((256, 512), 6, [(4 << i, 8 << i) for i in range(7)]),
        ((96, 64), 4, [(6 << i, 4 << i) for i in range(5)]),
    ],
)
def test_sizes(
    fidelity: str, size: tuple[int, int], levels: int, sizes: list[tuple[int, int]]
) -> None:
    model = tiny(size, levels=levels, fidelity=fidelity, num_labels=3).eval()
    if fidelity == "released":
        halves = [(4 << i, 4 << i) for i in range(levels)]
        sizes = [halves[0], halves[1], *halves[1:]]
    assert model.config.sizes == sizes
    image, labels = pictures(size)
    labels[labels > 2] = 2
    with torch.no_grad():
        assert model.encode(image, labels).tokens.shape == (2, 3, 32)
        made = model(image, labels)
    assert made.shape == image.shape
    assert made.isfinite().all()


@pytest.mark.parametrize("num_labels", [LABELS, 8])
@pytest.mark.parametrize("fidelity", ["matched", "released"])
@pytest.mark.parametrize("patches", ["where cheaper", "always"])
def test_fused_is_dense(
    num_labels: int, fidelity: str, patches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patches and occurring labels instead of every pixel and all labels, gradients included."""
    if patches == "always":
        monkeypatch.setattr(spade_module, "fewer_by_patch", lambda *_: True)
    fused = tiny(fidelity=fidelity, num_labels=num_labels).double().train()
    dense = copy.deepcopy(fused).configure(fused=False)
    image, labels = pictures()
    found = []
    for model in (fused, dense):
        made = model.reconstruct(image.double(), labels, noise())
        loss = made.image.square().mean() + sum(w * value for w, value in made.losses.values())
        names, parameters = zip(*model.named_parameters(), strict=True)
        found.append([made.image, *torch.autograd.grad(loss, parameters)])
    for name, a, b in zip(("image", *names), *found, strict=True):
        # A bias in front of a norm has a gradient of 0, but for rounding, which the norm of a
        # region without pixels multiplies by 1 / sqrt(1e-5).
        nil = name.startswith("encoder.convs") and name.endswith("bias")
        torch.testing.assert_close(a, b, rtol=0, atol=4e-10 if nil else 1e-12)


@pytest.mark.parametrize("fidelity", ["matched", "released"])
def test_the_code_of_an_absent_label_is_that_of_zeros(fidelity: str) -> None:
    model = tiny(fidelity=fidelity).double().eval()
    image, labels = pictures()
    prepared = model.prepare(labels)
    assert prepared.occurring is not None
    mean, log_variance = model.encoder(image.double(), prepared.labels, prepared.occurring)
    full = model.encoder(image.double(), prepared.labels)
    nothing = model.encoder(0 * image.double(), prepared.labels)
    for found, dense, zeros in zip((mean, log_variance), full, nothing, strict=True):
        torch.testing.assert_close(found, dense, rtol=0, atol=1e-12)
        torch.testing.assert_close(found[0, 3:], zeros[0, 3:], rtol=0, atol=1e-12)
        assert not torch.allclose(found[1, 4], zeros[1, 4])


def test_regions_are_cut_out_and_stretched() -> None:
    image = torch.arange(3 * 6 * 8.0).view(1, 3, 6, 8)
    labels = torch.full((1, 6, 8), 7)
    labels[0, 1:3, 2:6] = 4
    labels[0, 1, 2] = 7
    found = label_regions(image, labels, torch.tensor([4, 2]), 4)
    cut = image[:, :, 1:3, 2:6].clone()
    cut[:, :, 0, 0] = 0
    assert torch.equal(found[:, :3], cut.repeat_interleave(2, 2))
    assert not found[:, 3:].any()


def test_a_code_is_of_its_region_alone() -> None:
    model = tiny().double().eval()
    image, labels = pictures()
    with torch.no_grad():
        before = model.encode(image.double(), labels).tokens
        other = torch.where(labels.unsqueeze(1) == 1, image, torch.rand_like(image)).double()
        after = model.encode(other, labels).tokens
    torch.testing.assert_close(after[:, 1], before[:, 1], rtol=0, atol=1e-12)
    assert not torch.allclose(after[:, 0], before[:, 0])


def renamed(tensor: Tensor, order: Tensor, axis: int = 0) -> Tensor:
    """``tensor`` with what it has for each label, along ``axis``, where ``order`` names it."""
    parts = tensor.detach().unflatten(axis, (LABELS, -1))
    return parts.index_select(axis, order.argsort()).flatten(axis, axis + 1)


ORDER = torch.tensor([2, 0, 4, 1, 3])


def test_renaming_labels_renames_codes() -> None:
    model = tiny().double().eval()
    other = copy.deepcopy(model)
    with torch.no_grad():
        for name, tensor in other.encoder.state_dict().items():
            if not name.endswith("_v"):  # power iteration's vector over what a group reads
                tensor.copy_(renamed(tensor, ORDER))
        image, labels = pictures()
        again = torch.where(labels >= 0, ORDER[labels.clamp(min=0)], -1)
        found = model.encode(image.double(), labels).tokens
        moved = other.encode(image.double(), again).tokens
    torch.testing.assert_close(moved[:, ORDER], found, rtol=0, atol=1e-12)


@pytest.mark.parametrize("groups", [1, LABELS])
def test_renaming_labels_renames_norms(groups: int) -> None:
    """Of blocks whose groups have merged nothing moves; else every label's channels do."""
    branch = LabelBranch(LABELS, 4 * LABELS, 3 * LABELS, label_groups=LABELS, groups=groups)
    branch, other = branch.double(), copy.deepcopy(branch).double()
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name.startswith("shared") or groups > 1:
                parameter.copy_(renamed(parameter, ORDER))
            elif name.endswith("weight"):
                parameter.copy_(renamed(parameter, ORDER, 1))
    _, labels = pictures()
    again = torch.where(labels >= 0, ORDER[labels.clamp(min=0)], -1)
    for found, moved in zip(branch.maps(labels), other.maps(again), strict=True):
        wanted = renamed(found, ORDER, 1) if groups > 1 else found
        torch.testing.assert_close(moved, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("label_groups", [1, 2, 6])
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_grouped_rows_are_the_maps(label_groups: int, groups: int) -> None:
    """By patch and by pixel, gradients included; labels on the borders, ignored ones, noise."""
    branch = LabelBranch(6, 12, 18, label_groups=label_groups, groups=groups).double()
    labels = torch.randint(-1, 6, (2, 7, 9))
    labels[:, 2:6, :5] = 3
    patches = LabelPatches.build(labels, 6)
    index = patches.index.long()
    rows = [row[index].permute(0, 3, 1, 2) for row in branch.rows(patches)]
    maps = branch.maps(labels)
    weight = torch.randn(18, 7, 9, dtype=torch.float64)
    found = []
    for gamma, beta in (rows, maps):
        loss = (weight * gamma).sum() + (weight * beta.square()).sum()
        found.append([gamma, beta, *torch.autograd.grad(loss, list(branch.parameters()))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fidelity", ["matched", "released"])
def test_evaluation_repeats_itself(fidelity: str) -> None:
    model = tiny(fidelity=fidelity).eval()
    image, labels = pictures()
    with torch.no_grad():
        styles = model.encode(image, labels)
        a, b = (model.generate(labels, styles) for _ in range(2))
        assert torch.equal(a, b)
        assert torch.equal(styles.tokens, model.encode(image, labels).tokens)
        drawn = model.generate(labels, model.random_styles(labels, noise()))
    assert a.abs().max() <= 1
    assert not torch.equal(a, drawn)


def test_variants() -> None:
    models = {f: tiny(fidelity=f) for f in ("paper", "matched", "released")}
    assert [m.generator.slope for m in models.values()] == pytest.approx([0.2, 0.2, 0.04])
    batch = ["running_var" in "".join(m.state_dict()) for m in models.values()]
    assert batch == [True, True, False]
    weights = [m.reconstruct(*pictures()).losses["kl"][0] for m in models.values()]
    assert weights == pytest.approx([0.1, 0.1, 0.4])


def test_a_style_is_of_4x4_numbers() -> None:
    with pytest.raises(InputError, match="token_dim=40"):
        GroupDNetConfig(num_labels=3, size=(96, 64), token_dim=40)
