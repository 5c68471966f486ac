# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scam.errors import InputError
from scam.semia.judge import Draw, Judge, layout_scores, train_judge

Source = tuple[Tensor, Tensor]


def stripes(height: int = 40, width: int = 49) -> Source:
    """Columns beside rows, of the same colours."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    labels = (x >= width // 2).long()
    wave = torch.where(labels > 0, y // 2 % 2, x // 2 % 2).float() * 1.6 - 0.8
    image = wave * torch.tensor([1.0, 0.6, -0.3])[:, None, None]
    return image[None], labels[None]


def flips_and_zooms(source: Source) -> Draw:
    def draw(generator: torch.Generator) -> Source:
        image, labels = source
        flip, zoom, top, left = torch.rand(4, generator=generator).tolist()
        height, width = (round(side * (0.8 + 0.2 * zoom)) for side in labels.shape[1:])
        y, x = int(top * (labels.shape[1] - height)), int(left * (labels.shape[2] - width))
        image = image[..., y : y + height, x : x + width]
        labels = labels[..., y : y + height, x : x + width]
        return (image.flip(3), labels.flip(2)) if flip < 0.5 else (image, labels)

    return draw


@pytest.fixture(scope="module")
def judge() -> Judge:
    source = stripes()
    return train_judge(*source, 2, flips_and_zooms(source), steps=60)


def test_it_learns_two_textures(judge: Judge) -> None:
    assert judge.held_out.accuracy > 0.95
    assert judge.held_out.mean_iou > 0.9
    assert judge.source.accuracy > 0.95


def test_it_knows_them_wherever_they_lie(judge: Judge) -> None:
    """Quarters, where the source has halves side by side."""
    image, labels = (
        torch.cat([x[..., :20, :], x[..., 20:, :].flip(-1)], dim=-2) for x in stripes()
    )
    assert layout_scores(judge, image, labels).accuracy > 0.9


def test_warps_are_the_default() -> None:
    source = stripes()
    judge = train_judge(*source, 2, steps=60)
    assert judge.held_out.accuracy > 0.9
    assert judge.source.accuracy > 0.95


def test_wrong_textures_score_low(judge: Judge) -> None:
    image, labels = stripes()
    assert layout_scores(judge, image, 1 - labels).accuracy < 0.1


def test_scores_of_a_known_confusion(judge: Judge) -> None:
    """All of label 1 and half of label 0 asked of an image that shows label 1 alone."""
    image, _ = stripes()
    shown = image[..., 30:48]
    labels = torch.zeros(1, *shown.shape[2:], dtype=torch.int64)
    labels[:, :10] = 1
    labels[:, 20:] = -1
    scores = layout_scores(judge, shown, labels)
    seen = judge.network(shown).argmax(1)[0, :20]
    hits = seen[:10].sum(), (seen[10:] == 0).sum()
    assert scores.accuracy == pytest.approx(float(sum(hits)) / (20 * 18))
    assert scores.iou == {
        0: pytest.approx(float(hits[1] / ((seen == 0).sum() + (seen[10:] == 1).sum()))),
        1: pytest.approx(float(hits[0] / ((seen == 1).sum() + (seen[:10] == 0).sum()))),
    }
    assert scores.mean_iou == pytest.approx(sum(scores.iou.values()) / 2)


def test_absent_labels_have_no_say(judge: Judge) -> None:
    image, labels = stripes()
    half = image[..., :20], labels[..., :20]
    assert set(layout_scores(judge, *half).iou) == {0}


def test_one_seed_one_judge() -> None:
    source = stripes(17, 13)
    calls: list[int] = []

    def train(seed: int, progress: Callable[[int], object] | None = None) -> Tensor:
        torch.rand(1)  # the global generator has no part in it
        draw = flips_and_zooms(source)
        found = train_judge(*source, 2, draw, seed=seed, steps=3, progress=progress)
        return torch.cat([x.flatten() for x in found.network.parameters()])

    before = torch.random.get_rng_state()
    one = train(1, calls.append)
    assert calls == [1, 1, 1]
    assert torch.equal(one, train(1))
    assert not torch.equal(one, train(2))
    torch.random.set_rng_state(before)


def test_bad_input(judge: Judge) -> None:
    image, labels = stripes()
    with pytest.raises(InputError, match="steps=0: expected 1 or more"):
        train_judge(image, labels, 2, flips_and_zooms((image, labels)), steps=0)
    with pytest.raises(InputError, match="expected shapes"):
        layout_scores(judge, image, labels[0])
    with pytest.raises(InputError, match="labels=2: expected labels from 0 to 1"):
        layout_scores(judge, image, labels + 1)
    with pytest.raises(InputError, match="expected labels from 0 to 1"):
        layout_scores(judge, image, torch.full_like(labels, -1))


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_the_shortest_training(steps: int) -> None:
    """Of an image with one label, whose augmentations have another size."""
    image, labels = torch.rand(1, 3, 16, 17), torch.zeros(1, 16, 17, dtype=torch.int64)
    judge = train_judge(image, labels, 1, lambda _: (image[..., 5:], labels[..., 5:]), steps=steps)
    assert judge.source.accuracy == judge.held_out.accuracy == 1
