# SPDX-License-Identifier: Apache-2.0
"""Problems of ``semantic_modulation`` and everyone who can solve them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.cases import SETTINGS, ModulationCase
from benchmarks.contest import Contender
from benchmarks.gate import Gate, Results, first_line, gradient_like
from benchmarks.label_maps import label_map
from benchmarks.peers.modulation import (
    CONTENDERS,
    Half,
    Modulate,
    absorbed_tokens,
    as_written,
    eager_attend,
    ours_given_tokens,
)  # fmt: skip
from benchmarks.results_file import ALONE, BACKWARD_ALONE, OURS
from benchmarks.timing import Call, before_capture, copies_beyond_cache, copying
from scam.nn.position import position_code

REFERENCE = as_written(eager_attend)


def make_half(
    case: ModulationCase, device: torch.device, seed: int = 0, folder: Path | None = None
) -> Half:
    """Draw a problem on a device; weights as PyTorch initialises linear layers."""
    setting = SETTINGS[device.type]
    dtype = getattr(torch, setting.dtype)
    random = torch.Generator().manual_seed(seed)
    side, channels, inner = case.side, case.channels, case.attention_dim
    batch, count = setting.batch, case.num_labels * case.k

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).to(device, dtype)

    def weight(out: int, entering: int) -> Tensor:
        return draw(out, entering) * (3 * entering) ** -0.5

    maps = label_map(case.labels, side, case.num_labels, batch=batch, seed=seed, folder=folder).to(
        device
    )
    x = draw(batch, channels, side, side)
    channels_last = case.memory == "channels_last"
    position = position_code(channels, side, side, channels_last=channels_last)
    owners = torch.arange(case.num_labels, dtype=torch.uint8, device=device)
    return Half(
        x=x.contiguous(memory_format=torch.channels_last) if channels_last else x,
        tokens=draw(batch, count, case.token_dim),
        labels=maps.unflatten(1, (side, side)),
        token_labels=owners.repeat_interleave(case.k).expand(batch, -1),
        position=position.to(device, dtype),
        noise=draw(batch, 1, side, side),
        w_query=weight(inner, channels),
        b_query=draw(inner) / 8,
        w_key=weight(inner, case.token_dim),
        w_value=weight(inner, case.token_dim),
        b_value=draw(inner) / 8,
        w_out=weight(channels, inner),
        b_out=draw(channels) / 8,
        w_gamma_beta=weight(2 * channels, channels),
        b_gamma_beta=draw(2 * channels) / 8,
        noise_scale=draw(channels) / 8,
    )


def results(modulate: Modulate, half: Half, gradient: Tensor | None) -> Results:
    """Output; and under a gradient of it those of the map, the tokens and all weights."""
    if gradient is None:
        with torch.no_grad():
            return {"y": modulate(half)}
    leaves, wanted = half.leaves()
    y = modulate(leaves)
    grads = torch.autograd.grad(y, list(wanted.values()), gradient.to(y.dtype))
    named = zip((f"grad_{name}" for name in wanted), grads, strict=True)
    return {"y": y.detach(), **dict(named)}


def smooth_gradient(half: Half) -> Tensor:
    """A gradient of the output that is 0 wherever rounding might cross the activation's kink."""
    exact = results(REFERENCE, half.to(torch.float64), None)["y"]
    near = exact.abs() < 16 * torch.finfo(half.x.dtype).eps * exact.abs().max()
    return gradient_like(exact).masked_fill(near, 0)


def gate(half: Half, gradient: Tensor | None) -> Gate:
    """fp64 and own-dtype results of the half as SCAM writes it."""
    return Gate(lambda dtype: results(REFERENCE, half.to(dtype) if dtype else half, gradient))


def timed(modulate: Modulate, half: Half, backward: bool) -> Call:
    """One forward, or one forward and backward, as a function of nothing."""
    if not backward:

        def forward() -> Tensor:
            with torch.no_grad():
                return modulate(half)

        return forward
    leaves, wanted = half.leaves()
    with torch.no_grad():
        gradient = gradient_like(modulate(half))
    return lambda: torch.autograd.grad(modulate(leaves), list(wanted.values()), gradient)


def op_alone(half: Half, backward: bool) -> Call:
    """The op with keys, gamma and beta given: no projection of tokens, no gradient of weights."""
    with torch.no_grad():
        tokens = absorbed_tokens(half)
    if not backward:
        return timed(lambda h: ours_given_tokens(h, *tokens), half, False)
    forward, wanted = _op_of_leaves(half, tokens)
    gradient = gradient_like(half.x)
    return lambda: torch.autograd.grad(forward(), wanted, gradient)


def _backward_alone(half: Half) -> Call:
    with torch.no_grad():
        tokens = absorbed_tokens(half)
    forward, wanted = _op_of_leaves(half, tokens)
    y = before_capture(half.x.device, forward)
    gradient = gradient_like(y)
    return lambda: torch.autograd.grad(y, wanted, gradient, retain_graph=True)


def _op_of_leaves(
    half: Half, tokens: Sequence[Tensor]
) -> tuple[Callable[[], Tensor], list[Tensor]]:
    """The op of copies that require gradients, and these copies."""
    x, scale, *given = (t.detach().requires_grad_() for t in (half.x, half.noise_scale, *tokens))
    leaves = Half(**{**vars(half), "x": x, "noise_scale": scale})
    return lambda: ours_given_tokens(leaves, *given), [x, scale, *given]


def traffic(case: ModulationCase, half: Half) -> dict[str, int]:
    """Least bytes: read x (twice: its statistics come first), write y; position, labels, noise."""
    one, small = half.x.nbytes, 3 * half.tokens.shape[1] * case.channels * half.x.element_size()
    sides = half.position.nbytes + half.labels.nbytes + half.noise.nbytes
    small *= half.x.shape[0]
    pairs = half.x.shape[0] * case.side**2 * case.k * case.channels
    forward, back = 3 * one + sides + small, 3 * one + sides + 2 * small
    return {
        "bytes": forward + back * case.backward,
        "backward_bytes": back,
        "copy_bytes": 2 * one,
        "flops": pairs * (20 if case.backward else 6),
    }


def contenders(
    case: ModulationCase, device: torch.device, folder: Path | None = None
) -> tuple[dict[str, Contender], dict[str, str], Half]:
    """Everyone who passed the gate, why the others did not, and one problem.

    Raises:
        AssertionError: our result or a gradient is wrong.
    """
    half = make_half(case, device, 0, folder)
    count = copies_beyond_cache(device, 2 * half.x.nbytes)
    sets = [half, *(make_half(case, device, seed, folder) for seed in range(1, count))]
    gradient = smooth_gradient(half) if case.backward else None
    oracle = gate(half, gradient)
    entered: dict[str, Contender] = {}
    refused: dict[str, str] = {}
    for name, (kind, modulate) in CONTENDERS.items():
        try:
            found = results(modulate, half, gradient)
            error = oracle.check(found)
        except Exception as problem:
            if name == OURS:
                raise
            refused[name] = first_line(problem)
            continue
        calls = [timed(modulate, one, case.backward) for one in sets]
        entered[name] = Contender(kind, calls, error, graph=kind != "sparse")
    entered[ALONE] = Contender("part", [op_alone(one, case.backward) for one in sets])
    if case.backward:
        entered[BACKWARD_ALONE] = Contender("part", [_backward_alone(one) for one in sets])
    entered["copy"] = Contender("copy", [copying(one.x) for one in sets])
    return entered, refused, half
