# SPDX-License-Identifier: Apache-2.0
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from scam.data import LabelSet, Mannequins, PairDataset, PairSource, batch_keys, batches
from scam.data.dataset import Batch, in_order
from scam.errors import InputError

LABELS = LabelSet("toy", ("background", "left_arm", "right_arm", "other"), ((1, 2),))


class Toy(PairSource):
    """Pair i: a picture of brightness 10 i that counts columns, all four labels and one -1."""

    label_set = LABELS

    def __init__(self, length: int) -> None:
        self.length = length
        self.loads = 0

    def __len__(self) -> int:
        return self.length

    def stem(self, index: int) -> str:
        return f"toy{index}"

    def load(self, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        self.loads += 1
        height, width = size
        image = np.full((height, width, 3), 10 * index, np.uint8)
        image[:, :, 0] = np.arange(width)
        labels = np.full(size, 3, np.int32)
        labels[:, 0], labels[:, 1], labels[:, -1] = 1, 0, 2
        labels[0, 2] = -1
        return image, labels


def take(stream, count: int) -> list[Batch]:
    return list(itertools.islice(stream, count))


def same(a: Batch, b: Batch) -> bool:
    return (
        torch.equal(a["image"], b["image"])
        and torch.equal(a["labels"], b["labels"])
        and a["stem"] == b["stem"]
    )


def test_item() -> None:
    item = PairDataset(Toy(3), (4, 6))[2, 0]
    assert item["image"].shape == (3, 4, 6)
    assert item["image"].dtype == torch.float32
    assert item["labels"].dtype == torch.int32
    assert item["stem"] == "toy2"
    expected = torch.tensor([[0, 1, 2, 3, 4, 5], [20] * 6, [20] * 6]) / 127.5 - 1
    torch.testing.assert_close(item["image"][:, 1], expected)
    assert item["labels"][0].tolist() == [1, 0, -1, 3, 3, 2]


def test_range_is_minus_one_to_one() -> None:
    class Ends(Toy):
        def load(self, index, size):
            image, labels = super().load(index, size)
            image[0], image[1] = 0, 255
            return image, labels

    image = PairDataset(Ends(1), (4, 6))[0, 0]["image"]
    assert image.min() == -1
    assert image.max() == 1


def test_an_index_alone_is_never_changed() -> None:
    dataset = PairDataset(Toy(3), (4, 6), flip=True, recolour=1.0, warp=1.0)
    plain = PairDataset(Toy(3), (4, 6))
    loader = DataLoader(dataset, batch_size=2)
    images = torch.cat([batch["image"] for batch in loader])
    assert torch.equal(images, torch.stack([plain[index, 0]["image"] for index in range(3)]))
    assert [item["stem"] for item in dataset] == [dataset.source.stem(i) for i in range(3)]
    with pytest.raises(IndexError, match=r"index 3 is outside 0 \.\. 2"):
        dataset[3]


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_flip_mirrors_and_exchanges_left_and_right(cache_bytes: int) -> None:
    plain = PairDataset(Toy(3), (4, 6), cache_bytes=cache_bytes)
    flipping = PairDataset(Toy(3), (4, 6), flip=True, cache_bytes=cache_bytes)
    flips = 0
    for seed in range(40):
        item, still = flipping[1, seed], plain[1, seed]
        if torch.equal(item["image"], still["image"]):
            assert torch.equal(item["labels"], still["labels"])
            continue
        flips += 1
        assert torch.equal(item["image"], still["image"].flip(2))
        # 1 was the left column and 2 the right one: mirrored *and* renamed they stay in place.
        assert item["labels"][0].tolist() == [1, 3, 3, -1, 0, 2]
        assert item["labels"][1].tolist() == [1, 3, 3, 3, 0, 2]
    assert 10 < flips < 30


@pytest.mark.parametrize("change", ["recolour", "warp"])
def test_changes_by_chance_leave_flips_and_each_other_alone(change: str) -> None:
    """With chance 0 none, with 0.5 half of them, with 1 all; label maps move with warps only."""
    plain = PairDataset(Mannequins("train", 2), (32, 24), flip=True)
    none, half, always = (
        PairDataset(Mannequins("train", 2), (32, 24), flip=True, **{change: p})
        for p in (0.0, 0.5, 1.0)
    )
    changed = 0
    for seed in range(40):
        item, before, after = half[1, seed], plain[1, seed], always[1, seed]
        assert torch.equal(none[1, seed]["image"], before["image"])
        assert not torch.equal(after["image"], before["image"])
        assert torch.equal(after["labels"], before["labels"]) == (change == "recolour")
        kept = torch.equal(item["image"], before["image"])
        changed += not kept
        for name in ("image", "labels"):
            assert torch.equal(item[name], (before if kept else after)[name])
    assert 10 < changed < 30


def test_items_depend_on_their_key_only() -> None:
    first, second = (
        PairDataset(Toy(9), (4, 6), flip=True, recolour=0.5, warp=0.5) for _ in range(2)
    )
    keys = [(index, seed) for index in range(9) for seed in (0, 5, 2**61)]
    expected = [first[key] for key in keys]
    np.random.seed(1)
    torch.manual_seed(99)
    for key, item in reversed(list(zip(keys, expected, strict=True))):
        assert torch.equal(second[key]["image"], item["image"])
        assert torch.equal(second[key]["labels"], item["labels"])


def test_cache_loads_once_and_only_if_everything_fits() -> None:
    whole = 3 * 4 * 6 * 5
    for cache_bytes, loads in ((whole, 3), (whole - 1, 9), (0, 9)):
        source = Toy(3)
        dataset = PairDataset(source, (4, 6), flip=True, cache_bytes=cache_bytes)
        rounds = [[dataset[i, 4] for i in range(3)] for _ in range(3)]
        assert source.loads == loads
        for items in rounds[1:]:
            for item, before in zip(items, rounds[0], strict=True):
                assert torch.equal(item["image"], before["image"])
                assert torch.equal(item["labels"], before["labels"])


def test_cached_pictures_are_not_shared_with_items() -> None:
    dataset = PairDataset(Toy(1), (4, 6))
    first = dataset[0, 0]
    before = first["labels"].clone(), first["image"].clone()
    first["labels"].fill_(3)
    first["image"].fill_(0)
    assert torch.equal(dataset[0, 0]["labels"], before[0])
    assert torch.equal(dataset[0, 0]["image"], before[1])


@pytest.mark.parametrize("index", [-1, 3])
def test_index_outside(index: int) -> None:
    with pytest.raises(IndexError, match=rf"index {index} is outside 0 \.\. 2"):
        PairDataset(Toy(3), (4, 6))[index, 0]
    with pytest.raises(IndexError, match=rf"index {index} is outside 0 \.\. 2"):
        PairDataset(Toy(3), (4, 6)).pair(index)


def test_names_are_no_indices_and_a_side_is_no_size() -> None:
    dataset = PairDataset(Toy(3), (4, 6))
    with pytest.raises(InputError, match=r"^index='b': expected an integer, 0 to 2$"):
        dataset.pair("b")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^index=1\.5: expected an integer, 0 to 2$"):
        dataset[1.5]  # type: ignore[index]
    for size in (96, (96,), (96, 0), (9.0, 9.0), "96"):
        with pytest.raises(
            InputError, match=r"^size=.*: expected \(height, width\), two integers"
        ):
            PairDataset(Toy(3), size)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^source is a str: expected a PairSource, as FolderP"):
        PairDataset("photos", (4, 6))  # type: ignore[arg-type]


@pytest.mark.parametrize(("length", "batch_size"), [(7, 3), (8, 4), (5, 5), (3, 8), (1, 4)])
def test_batches_lay_whole_epochs_end_to_end(length: int, batch_size: int) -> None:
    steps = 2 * length
    keys = [batch_keys(length, batch_size, seed=3, step=step) for step in range(steps)]
    assert all(len(batch) == batch_size for batch in keys)
    line = list(itertools.chain(*keys))
    epochs = [line[i : i + length] for i in range(0, len(line), length)]
    for epoch in epochs:
        assert sorted(index for index, _ in epoch) == list(range(length))
        assert len({chance for _, chance in epoch}) == 1
    assert len({epoch[0][1] for epoch in epochs}) == len(epochs)


@given(
    length=st.integers(1, 40),
    batch_size=st.integers(1, 60),
    seed=st.integers(0, 2**40),
    step=st.integers(0, 10**6),
)
def test_batches_cut_one_endless_line(length: int, batch_size: int, seed: int, step: int) -> None:
    line = [
        batch_keys(length, 1, seed=seed, step=step * batch_size + i)[0] for i in range(batch_size)
    ]
    assert batch_keys(length, batch_size, seed=seed, step=step) == line


def test_order_changes_with_epoch_and_seed() -> None:
    orders = {
        tuple(index for index, _ in batch_keys(50, 50, seed=seed, step=step))
        for seed in range(3)
        for step in range(3)
    }
    assert len(orders) == 9


@pytest.mark.parametrize("start", [1, 5, 13])
def test_resuming_equals_not_stopping(start: int) -> None:
    dataset, again = (
        PairDataset(Toy(7), (4, 6), flip=True, recolour=0.5, warp=0.5) for _ in range(2)
    )
    whole = take(batches(dataset, 3, seed=1), start + 4)
    rest = take(batches(again, 3, seed=1, start_step=start), 4)
    assert all(map(same, whole[start:], rest))
    assert not same(whole[start], take(batches(dataset, 3, seed=2, start_step=start), 1)[0])


def test_recolouring_may_end() -> None:
    plain, changed = (PairDataset(Toy(7), (4, 6), flip=True, recolour=p) for p in (0.0, 1.0))
    ends = take(batches(changed, 3, seed=1, recolour_steps=2), 4)
    assert all(map(same, ends[:2], take(batches(changed, 3, seed=1), 2)))
    assert all(map(same, ends[2:], take(batches(plain, 3, seed=1, start_step=2), 2)))
    assert same(ends[3], take(batches(changed, 3, seed=1, start_step=3, recolour_steps=2), 1)[0])


def test_batch_contents() -> None:
    dataset = PairDataset(Toy(7), (4, 6), flip=True)
    batch = take(batches(dataset, 3, seed=1, start_step=2), 1)[0]
    assert batch["image"].shape == (3, 3, 4, 6)
    assert batch["labels"].shape == (3, 4, 6)
    keys = batch_keys(7, 3, seed=1, step=2)
    assert batch["stem"] == [f"toy{index}" for index, _ in keys]
    for i, key in enumerate(keys):
        assert torch.equal(batch["image"][i], dataset[key]["image"])
        assert torch.equal(batch["labels"][i], dataset[key]["labels"])


def test_workers_change_nothing_and_leave_global_chance_alone() -> None:
    dataset = PairDataset(Mannequins("val", 5), (24, 16), flip=True)
    here = take(batches(dataset, 3, seed=1, start_step=2), 6)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    stream = batches(dataset, 3, seed=1, start_step=2, workers=2)
    there = take(stream, 6)
    assert all(map(same, here, there))
    assert torch.equal(torch.get_rng_state(), state)


def test_pinned_batches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[torch.Size] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:  # needs a GPU
        pinned.append(tensor.shape)
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    dataset = PairDataset(Toy(3), (4, 5))
    plain, held = (take(batches(dataset, 2, seed=0, pin=pin), 2) for pin in (False, True))
    assert all(same(a, b) for a, b in zip(plain, held, strict=True))
    assert pinned == [(2, 3, 4, 5), (2, 4, 5)] * 2


@pytest.mark.parametrize("workers", [0, 2])
def test_pairs_in_order(workers: int) -> None:
    dataset = PairDataset(Toy(7), (4, 6), flip=True)
    found = list(in_order(dataset, 2, [4, 0, 6, 6, 1], workers))
    assert [len(image) for image, _ in found] == [2, 2, 1]
    for index, (image, labels) in zip(
        [4, 0, 6, 6, 1], ((x, y) for batch in found for x, y in zip(*batch, strict=True)),
        strict=True,
    ):  # fmt: skip
        wanted = dataset.pair(index)
        assert torch.equal(image, wanted[0])
        assert torch.equal(labels, wanted[1])
    assert sum(len(image) for image, _ in in_order(dataset, 3)) == 7
    with pytest.raises(InputError, match=r"^images/toy0\.png: cannot be read \(not an image\)$"):
        list(in_order(PairDataset(Broken(1), (4, 6)), 2, workers=workers))


class Broken(Toy):
    def load(self, index, size):
        raise InputError(f"images/toy{index}.png: cannot be read (not an image)")


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_pictures_are_one_line_wherever_they_are_read(workers: int) -> None:
    stream = batches(PairDataset(Broken(1), (4, 6)), 2, seed=0, workers=workers)
    with pytest.raises(InputError) as caught:
        next(stream)
    assert str(caught.value) == "images/toy0.png: cannot be read (not an image)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected 1 or more"),
        ({"seed": -1}, "seed is -1, expected 0 or more"),
        ({"start_step": -1}, "start_step is -1"),
        ({"workers": -2}, "workers is -2"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batches(PairDataset(Toy(3), (4, 6)), **{"batch_size": 2, "seed": 0, **arguments})
