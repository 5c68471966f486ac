# SPDX-License-Identifier: Apache-2.0
"""Modules in graphs that leave sizes free."""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from scam.nn import ScamModulation, SemanticCrossAttention
from scam.nn.cost import TRACED_SIZE, weighed

LATENT_LABELS = torch.arange(3).repeat_interleave(8)


def problem(pixels: int) -> tuple[Tensor, ...]:
    """Pixels, latents and the labels of both."""
    random = torch.Generator().manual_seed(pixels)
    x = torch.randn(2, pixels, 12, generator=random)
    z = torch.randn(2, 24, 20, generator=random)
    return x, z, torch.randint(-1, 4, (2, pixels), generator=random), LATENT_LABELS


def swapped(arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    x, z, x_labels, z_labels = arguments
    return z, x, z_labels, x_labels


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("bounded", [None, "keys", "queries"])
def test_an_exported_module_takes_any_number_of_pixels(
    bounded: Literal["keys", "queries"] | None, down: bool, strict: bool
) -> None:
    module = SemanticCrossAttention(
        *((20, 12) if down else (12, 20)), attention_dim=16, heads=2, bounded=bounded
    )
    pixels = torch.export.Dim("pixels", min=2, max=100_000)
    free = ({1: pixels}, {}, {1: pixels}, {})
    given, sizes = (swapped(problem(64)), swapped(free)) if down else (problem(64), free)
    program = torch.export.export(module, given, dynamic_shapes=sizes, strict=strict).module()
    for count in (5, 700):
        other = swapped(problem(count)) if down else problem(count)
        torch.testing.assert_close(program(*other), module(*other))


def test_a_compiled_module_takes_another_number_of_pixels_without_a_new_graph() -> None:
    module = SemanticCrossAttention(12, 20, attention_dim=16, heads=2)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
    compiled(*problem(64))
    with torch._dynamo.config.patch(error_on_recompile=True):
        torch.testing.assert_close(compiled(*problem(700)), module(*problem(700)))


def test_only_a_number_that_is_free_is_weighed_as_another() -> None:
    def forward(x: Tensor) -> Tensor:
        return x + weighed(x.shape[0])

    assert weighed(5) == 5
    torch._dynamo.reset()
    zeros = torch.zeros(5)
    for dynamic, count in ((False, 5), (True, TRACED_SIZE)):
        compiled = torch.compile(forward, fullgraph=True, dynamic=dynamic, backend="eager")
        assert compiled(zeros)[0] == count


class Modulated(nn.Module):
    """A modulation that takes label maps (B, H, W)."""

    def __init__(self, *, duplex: bool) -> None:
        super().__init__()
        self.inner = ScamModulation(
            16, 20, 16, 2, 24, duplex=duplex, noisy=True, released=False, bounded=True, fused=True
        )
        assert self.inner.noise_scale is not None
        nn.init.ones_(self.inner.noise_scale)
        # A global tensor would bring its own guards into the program.
        self.of_tokens = nn.Buffer(LATENT_LABELS)

    def forward(self, x: Tensor, labels: Tensor, tokens: Tensor, noise: Tensor) -> Tensor:
        of_tokens = self.of_tokens.expand(len(tokens), -1)
        y: Tensor = self.inner(x, labels.flatten(1), tokens, of_tokens, noise)[0]
        return y


def maps(height: int, width: int) -> tuple[Tensor, ...]:
    """Feature map, labels, tokens and noise."""
    size, random = (height, width), torch.Generator().manual_seed(height)
    x, noise = (torch.randn(2, channels, *size, generator=random) for channels in (16, 1))
    labels = torch.randint(-1, 4, (2, *size), generator=random)
    return x, labels, torch.randn(2, 24, 20, generator=random), noise


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("duplex", [False, True])
def test_an_exported_modulation_takes_any_height_and_width(duplex: bool, strict: bool) -> None:
    module = Modulated(duplex=duplex)
    height, width = (torch.export.Dim(name, min=2, max=512) for name in ("height", "width"))
    sides = {2: height, 3: width}
    free = (sides, {1: height, 2: width}, {}, sides)
    program = torch.export.export(module, maps(16, 64), dynamic_shapes=free, strict=strict)
    for size in ((8, 12), (40, 20)):
        given = maps(*size)
        torch.testing.assert_close(program.module()(*given), module(*given))
