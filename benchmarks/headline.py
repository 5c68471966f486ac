# SPDX-License-Identifier: Apache-2.0
"""The problems that kernels are timed, profiled and counted on."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks import attention, modulation
from benchmarks.cases import AttentionCase, ModulationCase
from benchmarks.peers.modulation import Half, absorbed_tokens
from benchmarks.timing import Call, before_capture
from scam.nn.sat import LEAK
from scam.ops import Labels, SemanticLayout, semantic_cross_attention, semantic_modulation
from scam.testing import Inputs

Case = AttentionCase | ModulationCase
CASES: tuple[Case, ...] = (
    AttentionCase(),
    AttentionCase(num_labels=3),
    AttentionCase(num_labels=150),
    AttentionCase(labels="noise"),
    ModulationCase(128, 128),
    ModulationCase(256, 64),
)
GIVEN = ("labels", "layouts")
"""How an op is told the labels: as tensors, which it has to sort, or as layouts."""


@dataclass(frozen=True)
class Headline:
    """One call of an op.

    Attributes:
        run: the op as its users call it.
        leaves: that get gradients.
        bytes, backward_bytes: the least that the two passes move.
    """

    run: Callable[[], Tensor]
    leaves: list[Tensor]
    bytes: int
    backward_bytes: int

    def forward(self) -> Call:
        """The forward pass, nothing kept for backward."""

        def call() -> Tensor:
            with torch.no_grad():
                return self.run()

        return call

    def backward(self) -> Call:
        """The backward pass alone."""
        out = before_capture(self.leaves[0].device, self.run)
        gradient = torch.randn_like(out)
        return lambda: torch.autograd.grad(out, self.leaves, gradient, retain_graph=True)


def draw(case: Case, device: torch.device) -> Inputs | Half:
    """The tensors of a case, in the batch size and dtype of the device."""
    if isinstance(case, AttentionCase):
        return attention.make_inputs(case, device)
    return modulation.make_half(case, device)


def headline(case: Case, drawn: Inputs | Half, given: str, backend: str | None) -> Headline:
    """The op on the tensors of a case, labels ``given`` as in ``GIVEN``."""
    if isinstance(case, AttentionCase):
        assert isinstance(drawn, Inputs)
        return _attention(case, drawn, given, backend)
    assert isinstance(drawn, Half)
    return _modulation(case, drawn, given, backend)


def _labels(case: Case, pixels: Labels, tokens: Labels, given: str) -> tuple[Labels, Labels]:
    if given == "labels":
        return pixels, tokens
    assert isinstance(pixels, Tensor)
    assert isinstance(tokens, Tensor)
    build, count = SemanticLayout.build, case.num_labels
    return build(pixels, count), build(tokens, count, most=case.k)


def _attention(case: AttentionCase, drawn: Inputs, given: str, backend: str | None) -> Headline:
    pixels, tokens = _labels(case, drawn.query_labels, drawn.key_labels, given)
    inputs = replace(drawn.leaves(), query_labels=pixels, key_labels=tokens)
    moved = attention.traffic(case, drawn)
    return Headline(
        lambda: semantic_cross_attention(*inputs.arguments(), backend=backend),
        [tensor for tensor in inputs.arguments()[:3] if tensor is not None],
        moved["bytes"],
        moved["backward_bytes"],
    )


def _modulation(case: ModulationCase, half: Half, given: str, backend: str | None) -> Headline:
    pixels, owners = _labels(case, half.labels, half.token_labels, given)
    with torch.no_grad():
        tokens = [tensor.unsqueeze(1) for tensor in absorbed_tokens(half)]
    x, keys, key_bias, gamma, beta, noise_scale = leaves = [
        tensor.detach().requires_grad_() for tensor in (half.x, *tokens, half.noise_scale)
    ]
    moved = modulation.traffic(case, half)
    return Headline(
        lambda: semantic_modulation(
            x, pixels, keys, key_bias, gamma, beta, owners, position=half.position,
            noise=half.noise, noise_scale=noise_scale, negative_slope=LEAK, backend=backend,
        ),
        leaves,
        moved["bytes"],
        moved["backward_bytes"],
    )  # fmt: skip
