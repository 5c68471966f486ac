# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from scam.models import Scam, ScamConfig
from scam.nn import position
from scam.nn.position import position_code


def test_released_code_is_the_published_formula() -> None:
    code = position_code(40, 5, 7, released=True)
    x, y = torch.linspace(-1, 1, 7), torch.linspace(-1, 1, 5)
    for i in range(10):
        frequency = 10000 ** (-2 * i / 20)
        torch.testing.assert_close(code[i], (x * frequency).sin().expand(5, 7))
        torch.testing.assert_close(code[10 + i], (y * frequency).sin()[:, None].expand(5, 7))
        torch.testing.assert_close(code[20 + i], (x * frequency).cos().expand(5, 7))
        torch.testing.assert_close(code[30 + i], (y * frequency).cos()[:, None].expand(5, 7))


def test_released_code_hardly_tells_neighbours_apart_and_the_default_does() -> None:
    """The defect that the default mends: nothing in the released code exceeds 1 rad."""
    steps = [
        (code[:, :, 1:] - code[:, :, :-1]).abs().amax()
        for code in (position_code(64, 256, 256, released=r) for r in (True, False))
    ]
    assert steps[0] < 0.01
    assert steps[1] > 1.0


@pytest.mark.parametrize("channels", [3, 6, 10, 42])
def test_channels_must_be_a_multiple_of_four(channels: int) -> None:
    with pytest.raises(ValueError, match=f"channels={channels}"):
        position_code(channels, 8, 8)


def test_every_pixel_has_its_own_code() -> None:
    code = position_code(16, 12, 9).flatten(1).t()
    distances = torch.cdist(code, code) + 10 * torch.eye(len(code))
    assert distances.min() > 0.05


def test_highest_frequency_repeats_after_four_pixels() -> None:
    code = position_code(8, 1, 64)
    top = code[1, 0]  # sine of x at the higher of two frequencies
    torch.testing.assert_close(top[4:], top[:-4], atol=1e-4, rtol=0)
    assert math.isclose(float(top.square().mean()), 0.5, abs_tol=0.02)


def test_what_inference_mode_made_can_be_trained_with() -> None:
    torch.manual_seed(0)
    model = Scam(ScamConfig.preset("tiny", size=(32, 32)))
    image = torch.rand(1, 3, 32, 32)
    labels = torch.zeros(1, 32, 32, dtype=torch.int32)
    _forget()
    with torch.inference_mode():
        model.generate(labels, model.encode(image, labels))
    generated = model.generate(labels, model.encode(image, labels))
    generated.square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("fake_first", [True, False])
def test_fake_and_real_codes_are_never_mixed(fake_first: bool) -> None:
    _forget()
    if not fake_first:
        position_code(8, 6, 5)
    with FakeTensorMode() as mode:
        fake = position_code(8, 6, 5) + torch.zeros(8, 6, 5)
    assert mode.is_our_fake(fake)
    assert type(position_code(8, 6, 5)) is Tensor


def _forget() -> None:
    position._position_code.cache_clear()


@pytest.mark.parametrize("released", [False, True])
def test_defaults_of_the_process_do_not_matter(released: bool) -> None:
    """What is made under other defaults is kept, for callers who never set them."""
    expected = position_code(8, 5, 7, released=released).clone()
    position._position_code.cache_clear()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            found = position_code(8, 5, 7, released=released)
    finally:
        torch.set_default_dtype(torch.float32)
        position._position_code.cache_clear()
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_compiled_graphs_hold_several_codes_and_may_write_to_them() -> None:
    def both(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return position_code(8, 6, 5).mul_(x), position_code(12, 6, 5) + y

    torch._dynamo.reset()
    x, y = torch.rand(8, 6, 5), torch.rand(12, 6, 5)
    compiled = torch.compile(both, fullgraph=True)
    for _ in range(2):
        first, second = compiled(x, y)
        torch.testing.assert_close(first, position_code(8, 6, 5) * x)
        torch.testing.assert_close(second, position_code(12, 6, 5) + y)


def test_compiled_graphs_get_the_layout_they_ask_for() -> None:
    """The ops would bring another one into that of the map in every pass."""
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda: position_code(8, 6, 5, channels_last=True), fullgraph=True, backend="aot_eager"
    )
    assert compiled().stride() == position_code(8, 6, 5, channels_last=True).stride() == (1, 40, 8)
