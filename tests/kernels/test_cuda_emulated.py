# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels, compiled for the CPU, held against the fp64 oracle: forward and backward."""

import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch

from scam.ops import SemanticLayout, modulation_library
from scam.ops.backends import cuda_call
from scam.testing import assert_matches_oracle, make_inputs, outcome, poisoned_memory
from scam.testing.attention import Inputs
from scam.testing.modulation import (
    ModulationInputs,
    assert_modulation_matches_oracle,
    make_modulation_inputs,
    modulation_outcome,
)

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "emulator"))
import harness
import large_scores

BF16, FP16 = torch.bfloat16, torch.float16


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    harness.emulate(monkeypatch)


def check_modulation(inputs: ModulationInputs, **options: float) -> None:
    with poisoned_memory():
        assert_modulation_matches_oracle(inputs, backend="cuda", **options)


def check_attention(inputs: Inputs) -> None:
    with poisoned_memory():
        assert_matches_oracle(inputs, backend="cuda")


@pytest.mark.parametrize("dtype", [BF16, FP16])
@pytest.mark.parametrize("memory", ["channels_first", "channels_last", "sliced"])
def test_modulation(memory: str, dtype: torch.dtype) -> None:
    for size, channels, extras in (((16, 8), 32, True), ((7, 6), 48, True), ((8, 9), 64, False)):
        inputs = make_modulation_inputs(
            size=size, channels=channels, extras=extras, memory=memory, dtype=dtype
        )
        check_modulation(inputs)


@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
@pytest.mark.parametrize(("heads", "tokens"), [(2, 24), (1, 90), (3, 70)])
def test_modulation_of_several_heads_and_many_tokens(heads: int, tokens: int, memory: str) -> None:
    check_modulation(
        make_modulation_inputs(size=(8, 8), heads=heads, tokens=tokens, memory=memory, dtype=BF16)
    )


@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
@pytest.mark.parametrize("channels", [144, 272, 544, 1024])
def test_modulation_of_wide_maps(channels: int, memory: str) -> None:
    """Smaller tiles, sums in slices of channels, one stage instead of two."""
    inputs = make_modulation_inputs(
        batch=1, size=(8, 5), channels=channels, tokens=12, num_labels=3, memory=memory, dtype=BF16
    )
    check_modulation(inputs)


@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_modulation_of_wide_maps_in_little_shared_memory(memory: str) -> None:
    """What ``refusals`` lets pass on GPUs whose blocks have 99 KB."""
    shape = {"batch": 1, "size": (4, 4), "tokens": 12, "num_labels": 3}
    harness.set_shared(99)
    for heads in (1, 2):
        widest = make_modulation_inputs(
            **shape, channels=672, heads=heads, memory=memory, dtype=BF16
        )
        check_modulation(widest)
    with pytest.raises(RuntimeError, match="too much shared memory"):
        check_modulation(make_modulation_inputs(**shape, channels=1024, memory=memory, dtype=BF16))


def test_memory_at_odd_addresses() -> None:
    """Contiguous, but not where 16 bytes begin: a copy is, in either order."""
    x = torch.zeros(1 + 2 * 64 * 32, dtype=BF16)[1:].view(1, 2, 64, 32)
    assert x.data_ptr() % 16
    found, last = cuda_call.readable(x)
    assert last
    assert found.data_ptr() % 16 == 0
    assert cuda_call.channels_last(cuda_call.in_order(x, True)) is True
    assert cuda_call.channels_last(cuda_call.in_order(x, False)) is False
    assert cuda_call.channels_last(cuda_call.in_order(x.view(1, 2, 32, 64).mT, False)) is False
    inputs = make_modulation_inputs(size=(8, 8), dtype=BF16)
    assert inputs.position is not None
    moved = {name: shifted(getattr(inputs, name)) for name in ("x", "position", "keys")}
    check_modulation(replace(inputs, **moved))
    attention = make_inputs(queries=64, keys=24, width=32, dtype=BF16)
    check_attention(replace(attention, query=shifted(attention.query)))


def shifted(tensor: torch.Tensor) -> torch.Tensor:
    """The same in contiguous memory that begins two bytes after a multiple of 16."""
    memory = tensor.new_empty(1 + tensor.numel())[1:]
    return memory.view(tensor.shape).copy_(tensor)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_a_piece_of_many_tiles(memory: str, early: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.set_copies(early)
    monkeypatch.setattr(cuda_call, "PIECES", 1)
    monkeypatch.setattr(cuda_call, "PARTIAL_BYTES", 0)
    inputs = make_modulation_inputs(
        batch=1, size=(24, 16), channels=16, tokens=11, num_labels=3, memory=memory, dtype=BF16
    )
    check_modulation(inputs)
    for queries, keys in ((300, 20), (20, 304)):
        check_attention(
            make_inputs(batch=1, queries=queries, keys=keys, num_labels=3, dtype=BF16)
            if memory == "channels_last"
            else make_inputs(batch=1, queries=queries // 8 * 8, keys=keys, num_labels=3,
                             memory=memory, dtype=BF16)
        )  # fmt: skip


@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_coherent_maps(memory: str) -> None:
    """Runs of one label that neither begin nor end where 16 bytes do."""
    inputs = make_modulation_inputs(size=(16, 16), channels=16, memory=memory, dtype=BF16)
    rows = torch.arange(256).reshape(16, 16)
    labels = torch.stack((rows // 45, (rows + 19) // 77 - 1))
    check_modulation(replace(inputs, labels=labels))


@pytest.mark.parametrize("fill", [-1, 0, 3, 9])
def test_maps_of_one_label(fill: int) -> None:
    inputs = make_modulation_inputs(size=(8, 10), dtype=BF16)
    check_modulation(replace(inputs, labels=torch.full_like(inputs.labels, fill)))
    attention = make_inputs(queries=80, keys=24, dtype=BF16)
    check_attention(replace(attention, query_labels=torch.full_like(attention.query_labels, fill)))


@pytest.mark.parametrize("label_dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_label_dtypes(label_dtype: torch.dtype) -> None:
    check_modulation(make_modulation_inputs(label_dtype=label_dtype, dtype=BF16))
    check_attention(make_inputs(label_dtype=label_dtype, dtype=BF16))


@pytest.mark.parametrize("pixels_first", [True, False])
def test_layouts_in_any_mix(pixels_first: bool) -> None:
    inputs = make_modulation_inputs(size=(8, 8), dtype=BF16)
    pixels = SemanticLayout.build(inputs.labels, 5)
    tokens = SemanticLayout.build(inputs.token_labels, 5)
    if pixels_first:
        check_modulation(replace(inputs, labels=pixels))
    else:
        check_modulation(replace(inputs, token_labels=tokens))
    check_modulation(replace(inputs, labels=pixels, token_labels=tokens))
    sizes = {"queries": 64, "keys": 24} if pixels_first else {"queries": 24, "keys": 64}
    attention = make_inputs(dtype=BF16, **sizes)
    queries = SemanticLayout.build(attention.query_labels, 5)
    keys = SemanticLayout.build(attention.key_labels, 5)
    check_attention(replace(attention, query_labels=queries))
    check_attention(replace(attention, key_labels=keys, query_labels=queries))


@pytest.mark.parametrize("dtype", [BF16, FP16])
@pytest.mark.parametrize("shared_value", [True, False])
@pytest.mark.parametrize(
    "memory", ["contiguous", "channels_first", "channels_last", "sliced", "expanded"]
)
def test_attention(memory: str, shared_value: bool, dtype: torch.dtype) -> None:
    shapes = ((48, 24, 1, 1, 32), (24, 48, 1, 1, 48), (40, 10, 2, 1, 32), (12, 40, 2, 1, 64))
    for queries, keys, heads, key_heads, width in shapes:
        inputs = make_inputs(
            queries=queries, keys=keys, heads=heads, key_heads=key_heads, width=width,
            shared_value=shared_value, memory=memory, dtype=dtype,
        )  # fmt: skip
        check_attention(inputs)


@pytest.mark.parametrize(("queries", "keys"), [(96, 60), (60, 96), (30, 30)])
@pytest.mark.parametrize("key_heads", [1, 2])
def test_attention_with_many_keys_of_a_label(queries: int, keys: int, key_heads: int) -> None:
    for shared in (True, False):
        check_attention(
            make_inputs(
                queries=queries,
                keys=keys,
                key_heads=key_heads,
                num_labels=4,
                shared_value=shared,
                memory="channels_first",
                dtype=BF16,
            )
        )


@pytest.mark.parametrize(("queries", "keys"), [(40, 16), (16, 40)])
def test_widths(queries: int, keys: int) -> None:
    check_attention(make_inputs(queries=queries, keys=keys, heads=1, width=256, dtype=BF16))
    narrow = make_inputs(queries=queries, keys=keys, width=32, value_width=16, dtype=BF16)
    check_attention(narrow)


@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_the_order_of_threads_changes_no_bit(memory: str) -> None:
    modulation = make_modulation_inputs(
        batch=1, size=(8, 10), channels=32, tokens=30, memory=memory, dtype=BF16
    )
    attention = [
        make_inputs(batch=1, queries=q, keys=k, heads=1, width=32, memory=memory, dtype=BF16)
        for q, k in ((80, 24), (24, 80))
    ]

    def results() -> list[torch.Tensor]:
        with poisoned_memory():
            found = list(modulation_outcome(modulation, backend="cuda").values())
            for inputs in attention:
                found += outcome(inputs, backend="cuda").values()
        return found

    expected = results()
    for order, early in (*product(harness.ORDERS, (False, True)),)[1:]:
        harness.set_order(order)
        harness.set_copies(early)
        for before, after in zip(expected, results(), strict=True):
            assert torch.equal(before, after), f"order {order}, copies early: {early}"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_tokens_of_another_label_touch_nothing(bad: float) -> None:
    clean = make_modulation_inputs(size=(8, 8), dtype=BF16, extras=False)
    labels = torch.where(clean.labels == 1, 0, clean.labels)
    clean = replace(clean, labels=labels)
    spoilt = replace(
        clean,
        **{
            name: torch.where(
                (clean.token_labels == 1).view(2, 1, -1, *[1] * (tensor.dim() - 3)), bad, tensor
            )
            for name in ("keys", "key_bias", "gamma", "beta")
            for tensor in (getattr(clean, name),)
        },
    )
    expected = modulation_outcome(clean, backend="cuda")
    for name, found in modulation_outcome(spoilt, backend="cuda").items():
        assert torch.equal(found, expected[name]), name


@pytest.mark.parametrize(("dtype", "far"), [(torch.float16, 65504.0), (BF16, float("nan"))])
def test_positions_of_another_label_touch_no_key(dtype: torch.dtype, far: float) -> None:
    """Octets of pixels come whole, others' too: x + position of those may overflow."""
    given = make_modulation_inputs(size=(8, 8), dtype=dtype, extras=False, offset=60.0)
    labels = given.labels[:1].expand_as(given.labels)
    position = torch.zeros(16, 8, 8, dtype=dtype)
    near = replace(given, labels=labels, position=position)
    spoilt = replace(near, position=position.masked_fill(labels[0] == 1, far))
    others = given.token_labels != 1
    expected, found = (
        modulation_outcome(inputs, backend="cuda")["grad_keys"][:, 0][others]
        for inputs in (near, spoilt)
    )
    assert torch.equal(found, expected)


def test_bad_tokens_reach_only_pixels_that_see_them() -> None:
    """Next to such pixels, in one tile, others keep every bit."""
    clean = make_modulation_inputs(size=(8, 8), dtype=BF16, extras=False)
    seen = (clean.token_labels == 1).view(2, 1, -1, 1)
    spoilt = replace(clean, gamma=clean.gamma.masked_fill(seen, torch.nan))
    expected = modulation_outcome(clean, backend="cuda")["y"]
    found = modulation_outcome(spoilt, backend="cuda")["y"]
    others = (clean.labels != 1)[:, None].expand_as(found)
    assert torch.equal(found[others], expected[others])
    assert found[~others].isnan().any()


@pytest.mark.parametrize(
    "sizes", [{"batch": 0}, {"size": (0, 5)}, {"tokens": 0}, {"size": (1, 1), "batch": 3}]
)
def test_modulation_of_nothing(sizes: dict[str, object]) -> None:
    check_modulation(make_modulation_inputs(dtype=BF16, **sizes))


@pytest.mark.parametrize(
    "sizes", [{"batch": 0}, {"queries": 0}, {"keys": 0}, {"queries": 0, "keys": 0}]
)
def test_attention_over_nothing(sizes: dict[str, int]) -> None:
    check_attention(make_inputs(dtype=BF16, **sizes))


def test_gradients_of_tokens_lie_as_shape_inference_says() -> None:
    """Contiguous, whatever the strides of the tokens; a compiled graph relies on it."""
    inputs = make_modulation_inputs(size=(6, 6), heads=2, extras=False, dtype=BF16)
    keys, gamma = (t.mT.contiguous().mT for t in (inputs.keys, inputs.gamma))
    x, labels = inputs.x.flatten(2), inputs.labels.flatten(1)
    tokens = (keys, inputs.key_bias, gamma, inputs.beta)
    given = (x, labels, *tokens, inputs.token_labels, *(None,) * 5)
    options = (*(None,) * 4, 1e-5, 0.2, "cuda")
    y, *statistics = modulation_library.modulation_fwd(*given, *options)
    _, *gradients = modulation_library.modulation_bwd(y, *given, *statistics, *options)
    assert all(t.is_contiguous() for t in gradients[:4])
    check_modulation(replace(inputs, keys=keys, gamma=gamma))


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_slopes(slope: float) -> None:
    check_modulation(make_modulation_inputs(dtype=FP16), negative_slope=slope, eps=1e-3)


def test_statistics_of_a_far_mean() -> None:
    """A mean of 30 deviations: squares of the values themselves would lose the variance."""
    inputs = make_modulation_inputs(size=(16, 32), dtype=FP16, extras=False)
    far = replace(inputs, x=inputs.x * 0.5 + 15, keys=inputs.keys * 0.1)
    check_modulation(far)


@pytest.mark.parametrize("score", large_scores.SCORES)
def test_large_scores(score: float) -> None:
    for sizes in large_scores.FEW_AND_MANY:
        for spread in (True, False):
            large_scores.check_attention(score, sizes, spread, BF16, "cuda")


@pytest.mark.parametrize("which", large_scores.SATURATED)
@pytest.mark.parametrize("offset", [0, 30])
def test_sharp_choices(which: str, offset: float) -> None:
    large_scores.check_modulation(which, offset, BF16, "cuda")


def test_what_is_not_a_number() -> None:
    large_scores.check_bad_gradients_of_blind_pixels(BF16, "cuda")
    large_scores.check_bad_scores(torch.nan, BF16, "cuda")
