# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest
import torch

from scam.editing import blend, fill, interpolate, mean, shares, swap
from scam.errors import InputError
from scam.models import Scam, ScamConfig
from scam.models.styles import RunningMean, Styles, select_tokens

CONFIG = ScamConfig(3, (32, 16), width=16, levels=4, latents_per_label=2, background_latents=3,
                    token_dim=5, attention_dim=8)  # fmt: skip
MODEL = Scam(CONFIG)
MODEL.about = {"label_names": ["background", "upper_body", "lower_body"]}
OF = MODEL.token_labels  # three latents of the background, two of the others


def draw(*present: tuple[bool, bool, bool]) -> Styles:
    return Styles(torch.randn(len(present), 7, 5), torch.tensor(present))


ALL = (True, True, True)


def test_a_share_names_a_label_or_one_latent_of_it() -> None:
    assert shares(MODEL, 1).tolist() == [0, 0, 0, 1, 1, 0, 0]
    assert shares(MODEL, 0, 2, 0.5).tolist() == [0, 0, 0.5, 0, 0, 0, 0]
    for arguments, message in (
        ((1, None, 1.5), "weight 1.5: expected 0 to 1"),
        ((1, None, float("nan")), "weight nan: expected 0 to 1"),
        ((1, None, "1"), "weight '1': expected 0 to 1"),
        ((3,), "label 3: expected one of background, upper_body, lower_body, a group"),
        ((1.5,), "label 1.5: expected one of background"),
        ((1, 2), "latent 2 of label 1: expected 0 to 1"),
    ):
        with pytest.raises(InputError, match=message):
            shares(MODEL, *arguments)


def test_labels_are_given_by_name() -> None:
    both = shares(MODEL, "clothes", 1, 0.5)
    assert both.tolist() == [0, 0, 0, 0, 0.5, 0, 0.5]
    assert torch.equal(both, shares(MODEL, ["Upper-Body", 2], 1, 0.5))
    host, donor = draw(ALL), draw(ALL)
    by_number = swap(host, donor, [1, 2], MODEL)
    for words in ("clothes", ["upper_body", "lower_body"], ["1", 2]):
        assert torch.equal(swap(host, donor, words, MODEL).tokens, by_number.tokens)
    with pytest.raises(InputError, match="label 'hat': expected one of background, upper_body"):
        swap(host, donor, ["hat"], MODEL)


def test_blending_moves_what_has_a_share_and_nothing_else() -> None:
    host, donor = draw(ALL, ALL), draw(ALL)
    before = host.tokens.clone()
    mixed = blend(host, donor, shares(MODEL, 1, weight=0.25) + shares(MODEL, 2, 0), MODEL)
    assert torch.equal(host.tokens, before)
    assert torch.equal(mixed.tokens[:, [0, 1, 2, 6]], host.tokens[:, [0, 1, 2, 6]])
    assert torch.equal(mixed.tokens[:, 5], donor.tokens[:, 5].expand(2, -1))
    quarter = 0.75 * host.tokens[:, 3:5] + 0.25 * donor.tokens[:, 3:5]
    torch.testing.assert_close(mixed.tokens[:, 3:5], quarter)
    assert mixed.present.all()


def test_a_share_may_differ_from_picture_to_picture() -> None:
    host, donor = draw(ALL, ALL), draw(ALL, ALL)
    share = torch.stack([shares(MODEL, 0), shares(MODEL, 2)])
    mixed = blend(host, donor, share, MODEL)
    assert torch.equal(mixed.tokens[0, :3], donor.tokens[0, :3])
    assert torch.equal(mixed.tokens[0, 3:], host.tokens[0, 3:])
    assert torch.equal(mixed.tokens[1, :5], host.tokens[1, :5])


def test_what_the_donor_lacks_stays_and_what_the_host_lacks_is_taken_whole() -> None:
    host, donor = draw((True, False, True)), draw((True, True, False))
    mixed = blend(host, donor, shares(MODEL, 1, 0, 0.3) + shares(MODEL, 2), MODEL)
    assert torch.equal(mixed.tokens[:, 3:5], donor.tokens[:, 3:5])
    assert torch.equal(mixed.tokens[:, 5:], host.tokens[:, 5:])
    assert mixed.present.tolist() == [[True, True, True]]
    untouched = blend(host, donor, shares(MODEL, 0), MODEL)
    assert untouched.present.tolist() == [[True, False, True]]


def test_garbage_in_absent_labels_never_spreads() -> None:
    host, donor = draw((True, True, False)), draw((True, False, True))
    host.tokens[:, 5:], donor.tokens[:, 3:5] = torch.nan, torch.inf
    both = shares(MODEL, 1, weight=0.5) + shares(MODEL, 2, weight=0.5)
    assert blend(host, donor, both, MODEL).tokens.isfinite().all()
    assert interpolate(host, donor, 3, MODEL).tokens.isfinite().all()
    assert mean([host, donor], MODEL).tokens.isfinite().all()


def test_swapping_is_what_the_model_s_transfer_does() -> None:
    host, donor = draw(ALL, ALL), draw(ALL, ALL)
    subject = torch.tensor([[False, True, True]] * 2)
    swapped, mixed = swap(host, donor, [1, 2], MODEL), select_tokens(donor, host, subject, OF)
    assert torch.equal(swapped.tokens, mixed.tokens)
    assert torch.equal(swapped.present, mixed.present)
    assert torch.equal(swap(host, donor, [], MODEL).tokens, host.tokens)


def test_filling_takes_absent_labels_only() -> None:
    host, standin = draw((True, False, False)), draw((True, True, False))
    filled = fill(host, standin, MODEL)
    assert torch.equal(filled.tokens[:, :3], host.tokens[:, :3])
    assert torch.equal(filled.tokens[:, 3:5], standin.tokens[:, 3:5])
    assert filled.present.tolist() == [[True, True, False]]


def test_interpolation_ends_where_it_should() -> None:
    first, last = draw((True, True, False)), draw((True, False, True))
    way = interpolate(first, last, 5, MODEL)
    assert way.tokens.shape == (5, 7, 5)
    assert torch.equal(way.tokens[0, :5], first.tokens[0, :5])
    assert torch.equal(way.tokens[4, :3], last.tokens[0, :3])
    middle = (first.tokens[0, :3] + last.tokens[0, :3]) / 2
    torch.testing.assert_close(way.tokens[2, :3], middle)
    # Only one of them knows these labels: they keep still.
    assert torch.equal(way.tokens[:, 3:5], first.tokens[:, 3:5].expand(5, -1, -1))
    assert torch.equal(way.tokens[:, 5:], last.tokens[:, 5:].expand(5, -1, -1))
    assert way.present.all()
    with pytest.raises(InputError, match="over 1 images: expected 2 or more"):
        interpolate(first, last, 1, MODEL)


def test_the_mean_is_over_the_pictures_that_hold_a_label() -> None:
    batches = [draw(ALL, (True, False, False)), draw((True, True, False))]
    found = mean(iter(batches), MODEL)
    a, b, c = batches[0].tokens[0], batches[0].tokens[1], batches[1].tokens[0]
    torch.testing.assert_close(found.tokens[0, :3], ((a + b + c) / 3)[:3])
    torch.testing.assert_close(found.tokens[0, 3:5], ((a + c) / 2)[3:5])
    torch.testing.assert_close(found.tokens[0, 5:], a[5:])
    assert found.present.tolist() == [[True, True, True]]
    assert not mean([draw((True, True, False))], MODEL).present[0, 2]
    with pytest.raises(InputError, match="expected one image or more, got none"):
        mean([], MODEL)


def test_a_running_mean_counts() -> None:
    running = RunningMean(OF)
    running.add(draw((True, False, False), ALL))
    running.add(draw(ALL))
    assert running.count.tolist() == [3, 2, 2]


def test_the_arithmetic_follows_the_dtype() -> None:
    wide = Styles(torch.randn(1, 7, 5).double(), torch.tensor([ALL]))
    for found in (swap(wide, wide, [1], MODEL), interpolate(wide, wide, 2, MODEL)):
        assert found.tokens.dtype == torch.float64


def test_what_cannot_be_mixed_is_refused_in_words() -> None:
    host, two = draw(ALL), draw(ALL, ALL)
    for call, words in (
        (lambda: blend(host, host, torch.ones(3), MODEL), r"share has shape \(3,\)"),
        (lambda: blend(host, host, torch.full((7,), 1.5), MODEL), "share: expected values"),
        (lambda: blend(host, host, torch.full((7,), torch.nan), MODEL), "share: expected values"),
        (lambda: interpolate(host, two, 3, MODEL), "interpolation from 1 images to 2"),
        (lambda: interpolate(host, host, 2.5, MODEL), "interpolation over 2.5 images"),
    ):
        with pytest.raises(InputError, match=f"^{words}"):
            call()


@pytest.mark.parametrize("wrong", [draw(ALL).tokens, None, MODEL])
def test_what_is_no_styles_is_named(wrong: Any) -> None:
    good = draw(ALL)
    for name, call in (
        ("host", lambda: swap(wrong, good, 1, MODEL)),
        ("donor", lambda: swap(good, wrong, 1, MODEL)),
        ("donor", lambda: blend(good, wrong, shares(MODEL, 1), MODEL)),
        ("latents", lambda: fill(wrong, good, MODEL)),
        ("first", lambda: interpolate(wrong, good, 3, MODEL)),
        ("last", lambda: interpolate(good, wrong, 3, MODEL)),
        ("styles", lambda: mean([good, wrong], MODEL)),
    ):
        with pytest.raises(InputError, match=f"^{name} is .*: expected Styles, as encode returns"):
            call()


def test_what_is_no_model_is_named() -> None:
    good: Any = draw(ALL)
    for call in (
        lambda: swap(good, good, 1, good),
        lambda: shares(good, 1),
        lambda: fill(good, good, good),
        lambda: interpolate(good, good, 3, good),
        lambda: mean([good], good),
    ):
        with pytest.raises(
            InputError, match=r"^model is a scam Styles: expected one, as scam\.load"
        ):
            call()
