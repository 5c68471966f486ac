# SPDX-License-Identifier: Apache-2.0
"""The C++ kernels alone, against a dense fp64 oracle written here."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from scam.ops import attention_call
from scam.ops.attention_call import AttentionCall
from scam.ops.backends import cpu
from scam.ops.problem import Problem

REFUSAL = "; ".join(cpu.refusals(Problem("cpu", torch.float32)))
pytestmark = [
    pytest.mark.skipif(bool(REFUSAL), reason=REFUSAL),
    pytest.mark.usefixtures("one_thread"),
]

NO_LAYOUT = (None, None, None, None)
# relative to 1 + the largest reference value, on inputs drawn from a normal distribution
BOUNDS = {torch.float64: 1e-13, torch.float32: 4e-6, torch.bfloat16: 6e-3}


@dataclass
class Case:
    """One problem; memory: how query and key (and value) lie."""

    queries: int
    keys: int
    labels: int = 5
    batch: int = 2
    heads: int = 1
    key_heads: int = 1
    width: int = 32
    value_width: int | None = None  # None: value=None
    dtype: torch.dtype = torch.float64
    memory: tuple[str, str] = ("rows", "rows")
    label_dtype: torch.dtype = torch.int64
    empty: str = "zero"
    grad_lse: bool = True
    run: int = 1  # queries in a row that share a label, on average
    seed: int = 0

    def tensors(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor]:
        random = torch.Generator().manual_seed(self.seed)
        b, w = self.batch, self.width
        v = w if self.value_width is None else self.value_width
        query = draw(random, (b, self.heads, self.queries, w), self.memory[0]).to(self.dtype)
        key = draw(random, (b, self.key_heads, self.keys, w), self.memory[1]).to(self.dtype)
        value = draw(random, (b, self.key_heads, self.keys, v), self.memory[1]).to(self.dtype)
        low = 0 if self.label_dtype == torch.uint8 else -1
        labels = [
            torch.randint(low, self.labels, (b, n), generator=random).to(self.label_dtype)
            for n in (self.queries, self.keys)
        ]
        labels[1][labels[1] == self.labels - 1] = 0  # the last label has no keys
        if self.run > 1:  # a new label at random places only
            begins = torch.rand(b, self.queries, generator=random) * self.run < 1
            labels[0] = labels[0].gather(1, begins.cumsum(1).clamp(max=self.queries - 1))
        return query, key, None if self.value_width is None else value, labels[0], labels[1]


def draw(random: torch.Generator, shape: tuple[int, ...], memory: str) -> Tensor:
    """Normal numbers (B, H, N, D) whose memory is contiguous, NCHW, NHWC, strided or expanded."""
    b, h, n, d = shape

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=random, dtype=torch.float64)

    match memory:
        case "maps":
            return normal(b, h, d, n).transpose(2, 3)
        case "heads last":
            return normal(b, n, h, d).transpose(1, 2)
        case "strided":
            return normal(b, h, n, 2 * d)[..., ::2]
        case "expanded":
            return normal(1, h, 1, d).expand(shape)
    return normal(*shape)


def asked(*arguments: Any, scale: float = 1.0, empty: str = "zero") -> AttentionCall:
    """Query, key, value and labels as the backend takes them."""
    return AttentionCall(*arguments, NO_LAYOUT, scale, empty)


def forward_and_backward(call: AttentionCall, grad_out: Tensor) -> tuple[Tensor, ...]:
    out, *statistics = cpu.forward(call)
    grads = cpu.backward(call, grad_out, None, out, *statistics)
    return out, *statistics, *(grad for grad in grads if grad is not None)


def oracle(
    query: Tensor, key: Tensor, value: Tensor | None, query_labels: Tensor, key_labels: Tensor,
    scale: float, empty: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    value = key if value is None else value
    group, keys = query.shape[1] // key.shape[1], key.shape[2]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    query_labels, key_labels = query_labels.long(), key_labels.long()
    seen = (query_labels[:, :, None] == key_labels[:, None, :]) & (query_labels >= 0)[:, :, None]
    seen = seen[:, None]
    sees = seen.any(-1)
    scores = (scale * query @ key.transpose(-1, -2)).masked_fill(~seen, -math.inf)
    lse = torch.logsumexp(torch.where(sees[..., None], scores, 0.0), -1)
    out = torch.where(seen, torch.exp(scores - lse[..., None]), 0.0) @ value
    if empty == "uniform" and keys:
        mean = value.mean(2, keepdim=True)
        return torch.where(sees[..., None], out, mean), torch.where(sees, lse, math.log(keys))
    return out, torch.where(sees, lse, -math.inf)


def run(case: Case) -> dict[str, Tensor]:
    """The kernels' results, with poison where they must write."""
    call = asked(*case.tensors(), scale=case.width**-0.5, empty=case.empty)
    out, lse, lse_rest = cpu.forward(call)
    random = torch.Generator().manual_seed(case.seed + 1)
    grad_out = torch.empty_like(out).copy_(torch.randn(out.shape, generator=random))
    if case.run == 1:
        grad_out = grad_out.contiguous()
    grad_lse = torch.randn(lse.shape, generator=random).to(lse.dtype) if case.grad_lse else None
    grads = cpu.backward(call, grad_out, grad_lse, out, lse, lse_rest)
    names = ("out", "lse", "grad_query", "grad_key", "grad_value")
    found = dict(zip(names, (out, lse, *grads), strict=True))
    found |= {"given_out": grad_out, "given_lse": grad_lse}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def expected(case: Case, found: dict[str, Tensor]) -> dict[str, Tensor]:
    query, key, value, *labels = case.tensors()
    leaves = [t.double().requires_grad_() for t in (query, key, value) if t is not None]
    given = leaves if len(leaves) == 3 else [*leaves, None]
    out, lse = oracle(*given, *labels, case.width**-0.5, case.empty)
    loss = (out * found["given_out"]).sum()
    if case.grad_lse:
        loss = loss + (torch.where(lse.isfinite(), lse, 0.0) * found["given_lse"]).sum()
    grads = torch.autograd.grad(loss, leaves, materialize_grads=True)
    names = ("out", "lse", "grad_query", "grad_key", "grad_value")
    return dict(zip(names, (out, lse, *grads), strict=False))


def check(case: Case) -> None:
    found = run(case)
    for name, want in expected(case, found).items():
        got = found[name].double()
        assert torch.equal(got.isinf(), want.isinf()), name
        got, want = got.masked_fill(got.isinf(), 0.0), want.masked_fill(want.isinf(), 0.0)
        assert got.isfinite().all(), name
        if got.numel():
            error = ((got - want).abs().max() / (1 + want.abs().max())).item()
            assert error < BOUNDS[case.dtype], f"{name}: error {error:.2e} in {case}"


PIXELS = {"queries": 700, "keys": 40}
LATENTS = {"queries": 40, "keys": 700}


@pytest.mark.parametrize("side", [PIXELS, LATENTS], ids=["pixels", "latents"])
@pytest.mark.parametrize("empty", ["zero", "uniform"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"value_width": 32, "memory": ("maps", "rows")},
        {"value_width": 32, "memory": ("rows", "maps")},
        {"memory": ("maps", "maps"), "labels": 2, "grad_lse": False},
        {"memory": ("maps", "maps"), "labels": 60, "label_dtype": torch.int16},
        {"memory": ("heads last", "heads last"), "heads": 6, "key_heads": 2, "value_width": 20},
        {"memory": ("strided", "strided"), "value_width": 7, "heads": 3},
        {"memory": ("expanded", "expanded"), "label_dtype": torch.uint8},
        {"labels": 1, "width": 1},
        {"labels": 40, "width": 3, "label_dtype": torch.int8},
        {"width": 43, "value_width": 1, "label_dtype": torch.int32},
        {"width": 300, "memory": ("maps", "maps"), "value_width": 256},
        {"dtype": torch.float32, "value_width": 32, "memory": ("maps", "rows")},
        {"dtype": torch.float32, "memory": ("rows", "maps"), "width": 256},
        {"dtype": torch.bfloat16, "value_width": 32, "memory": ("maps", "rows")},
        {"dtype": torch.bfloat16, "width": 43, "memory": ("rows", "maps")},
    ],
    ids=str,
)
def test_matches_oracle(isa: str, side: dict[str, int], empty: str, changes: dict) -> None:
    check(Case(**side, empty=empty, **changes))


@pytest.mark.parametrize("empty", ["zero", "uniform"])
@pytest.mark.parametrize(
    "changes",
    [
        {"labels": 2, "keys": 16},
        {"labels": 4, "keys": 24},
        {"labels": 40, "keys": 320},
        {"queries": 1024, "run": 300, "grad_lse": False},
        {"queries": 1100, "run": 17, "labels": 3, "keys": 23},
        {"queries": 30, "run": 30},
        {"queries": 7, "keys": 5, "run": 7, "labels": 2},
        {"labels": 1, "keys": 8},
        {"labels": 30, "keys": 29},  # one key of a label
        {"labels": 3, "keys": 150},  # more than a vector's pieces may have
        {"heads": 4, "key_heads": 2, "label_dtype": torch.uint8},
        {"width": 300, "dtype": torch.float32, "keys": 40},
        {"width": 43, "dtype": torch.bfloat16, "keys": 40},
        {"width": 7, "dtype": torch.float32, "queries": 520, "label_dtype": torch.int8},
    ],
    ids=str,
)
def test_smooth_label_maps_over_channels_first_pixels(
    isa: str, empty: str, changes: dict[str, Any]
) -> None:
    """Vectors of pixels: whole ones, borders of two and more labels, ragged ends."""
    base = {"queries": 700, "keys": 40, "run": 40, "memory": ("maps", "rows"), "empty": empty}
    width = changes.get("width", 32)
    for seed in range(3):
        check(Case(**base | {"width": width, "value_width": width, "seed": seed} | changes))


@pytest.mark.parametrize("garbage", [math.nan, math.inf])
def test_garbage_on_the_other_side_of_a_border_changes_no_bit(isa: str, garbage: float) -> None:
    case = Case(
        700, 40, labels=4, run=20, value_width=32, memory=("maps", "rows"), dtype=torch.float32
    )
    query, key, value, labels, key_labels = case.tensors()
    assert value is not None
    grad_out = torch.randn(2, 1, 32, 700).mT

    def results() -> tuple[Tensor, ...]:
        return forward_and_backward(asked(query, key, value, labels, key_labels), grad_out)

    clean = results()
    for tensor, its in (
        (query, labels), (grad_out, labels), (key, key_labels), (value, key_labels)
    ):  # fmt: skip
        tensor.masked_fill_(((its == 1) | (its == -1))[:, None, :, None], garbage)
    dirty = results()
    sides = (labels, labels, labels, labels, key_labels, key_labels)
    for before, after, its in zip(clean, dirty, sides, strict=True):
        rows = (its != 1)[:, None].expand(before.shape[:3])
        assert torch.equal(before[rows], after[rows])
    assert not dirty[0].isfinite().all()


def test_one_key_of_a_label_shows_a_query_that_is_not_finite(isa: str) -> None:
    key = torch.randn(1, 1, 3, 16)
    labels = torch.arange(3).repeat_interleave(20)[None]
    for memory in ("rows", "maps"):
        query = draw(torch.Generator().manual_seed(0), (1, 1, 60, 16), memory).float()
        query[0, 0, 5, 3] = math.nan
        query[0, 0, 45, 3] = math.inf
        out, *_ = cpu.forward(asked(query, key, None, labels, torch.arange(3)[None]))
        bad = out.isnan().all(-1)[0, 0]
        assert bad.nonzero().flatten().tolist() == [5, 45]
        assert torch.equal(out[0, 0, ~bad], key[0, 0, labels[0, ~bad]])


@pytest.mark.parametrize("queries", [0, 1, 63, 300])
@pytest.mark.parametrize("keys", [0, 1, 65, 300])
def test_sizes(isa: str, queries: int, keys: int) -> None:
    for empty in ("zero", "uniform"):
        check(Case(queries, keys, labels=2, empty=empty, value_width=16))
        check(Case(queries, keys, labels=2, empty=empty, batch=0))


def test_more_keys_of_a_label_than_are_held_at_once(isa: str) -> None:
    check(Case(500, 450, labels=3, value_width=16))  # wide queries, online softmax
    check(Case(300, 450, labels=3, value_width=16, heads=2))  # wide keys, blocks of rows


@pytest.mark.parametrize("memory", ["rows", "maps"])
@pytest.mark.parametrize("side", [(300, 12), (12, 300)], ids=["pixels", "latents"])
def test_sums_over_several_windows_of_a_chunk(
    isa: str, side: tuple[int, int], memory: str
) -> None:
    """A batch this large is not cut further, so running sums and maxima cross windows."""
    check(Case(*side, labels=3, batch=32, width=8, value_width=260, memory=(memory, memory)))


def test_large_scores_do_not_overflow(isa: str) -> None:
    query = 300 * torch.randn(1, 1, 200, 16)
    key = 300 * torch.randn(1, 1, 150, 16)
    for a, b in ((query, key), (key, query)):
        labels = [torch.arange(t.shape[2])[None] % 2 for t in (a, b)]
        out, lse, _ = cpu.forward(asked(a, b, None, *labels))
        want, want_lse = oracle(a.double(), b.double(), None, *labels, 1.0, "zero")
        torch.testing.assert_close(lse.double(), want_lse, rtol=1e-6, atol=0.0)
        assert out.isfinite().all()
        # only rows whose best two scores fp32 can tell apart
        scores = (a.double() @ b.double().mT).masked_fill(
            labels[0][0][:, None] != labels[1][0], -math.inf
        )
        best = scores.topk(2, -1).values
        clear = (best[..., 0] - best[..., 1]) > 30
        assert clear.any()
        torch.testing.assert_close(out[clear].double(), want[clear], rtol=1e-6, atol=1e-3)


def test_one_key_per_label_is_a_gather(isa: str) -> None:
    query, key, value = (torch.randn(2, 1, n, 24) for n in (100, 7, 7))
    labels = torch.randint(0, 7, (2, 100))
    key_labels = torch.arange(7).expand(2, 7)
    out, lse, _ = cpu.forward(asked(query, key, value, labels, key_labels, scale=0.3))
    index = labels[:, None, :, None].expand(-1, -1, -1, 24)
    assert torch.equal(out, value.gather(2, index))
    torch.testing.assert_close(lse, 0.3 * (query * key.gather(2, index)).sum(-1))


def test_labels_far_apart_and_very_negative(isa: str) -> None:
    query, key, value, labels, key_labels = Case(200, 30, value_width=16, width=16).tensors()
    near = cpu.forward(asked(query, key, value, labels, key_labels))
    wide = [torch.where(t < 0, -(2**62), t * 2**55 + 11) for t in (labels, key_labels)]
    far = cpu.forward(asked(query, key, value, *wide))
    assert all(torch.equal(a, b) for a, b in zip(near, far, strict=True))


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("memory", ["rows", "maps"])
@pytest.mark.parametrize("side", [PIXELS, LATENTS], ids=["pixels", "latents"])
def test_garbage_of_other_labels_changes_no_bit(
    isa: str, side: dict[str, int], memory: str, garbage: float
) -> None:
    case = Case(**side, labels=4, value_width=16, memory=(memory, memory), dtype=torch.float32)
    query, key, value, labels, key_labels = case.tensors()
    assert value is not None
    grad_out = torch.randn(*query.shape[:3], 16)

    def results() -> tuple[Tensor, ...]:
        return forward_and_backward(asked(query, key, value, labels, key_labels), grad_out)

    clean = results()
    for tensor, its in ((query, labels), (key, key_labels), (value, key_labels)):
        tensor.masked_fill_(((its == 1) | (its == -1))[:, None, :, None], garbage)
    grad_out.masked_fill_((labels == 1)[:, None, :, None], garbage)
    dirty = results()
    for before, after, its in zip(
        clean, dirty, (labels, labels, labels, labels, key_labels, key_labels), strict=True
    ):
        rows = (its != 1)[:, None].expand(before.shape[:3])
        assert torch.equal(before[rows], after[rows])
    assert not dirty[0].isfinite().all()  # what is seen does arrive


@pytest.mark.parametrize("side", [PIXELS, LATENTS], ids=["pixels", "latents"])
def test_every_output_is_written(side: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def poisoned(make: Any) -> Any:
        return lambda *args, **keywords: make(*args, **keywords).fill_(math.nan)

    monkeypatch.setattr(attention_call, "empty_output", poisoned(attention_call.empty_output))
    monkeypatch.setattr(torch, "empty_like", poisoned(torch.empty_like))
    monkeypatch.setattr(Tensor, "new_empty", poisoned(Tensor.new_empty))
    for memory in ("rows", "maps", "strided"):
        for empty in ("zero", "uniform"):
            check(Case(**side, value_width=9, memory=(memory, memory), empty=empty, labels=7))


@pytest.mark.parametrize("side", [PIXELS, LATENTS], ids=["pixels", "latents"])
def test_threads_and_repeats_agree_bit_for_bit(isa: str, side: dict[str, int]) -> None:
    case = Case(**side, labels=3, value_width=16, dtype=torch.float32, memory=("maps", "maps"))
    alone = run(case)
    torch.set_num_threads(2)
    for _ in range(5):
        both = run(case)
        assert all(torch.equal(alone[name], both[name]) for name in alone)


@pytest.mark.parametrize("side", [PIXELS, LATENTS], ids=["pixels", "latents"])
def test_labels_may_be_expanded_and_strided(isa: str, side: dict[str, int]) -> None:
    query, key, value, labels, key_labels = Case(**side, value_width=8).tensors()
    shared = labels[:1].expand_as(labels), key_labels[:1].expand_as(key_labels)
    copied = tuple(t.clone() for t in shared)
    strided = tuple(t.repeat_interleave(2, 1)[:, ::2].to(torch.int8) for t in copied)
    results = [cpu.forward(asked(query, key, value, *pair)) for pair in (shared, copied, strided)]
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_unknown_isa_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAM_CPU_ISA", "neon")
    (reason,) = cpu.refusals(Problem("cpu", torch.float32))
    assert reason == "SCAM_CPU_ISA must be auto, plain, avx2 or avx512"


def test_refusals_name_dtype_and_device() -> None:
    (reason,) = cpu.refusals(Problem("cpu", torch.float16))
    assert "float16 is not supported on CPU" in reason
    (reason,) = cpu.refusals(Problem("cuda", torch.float32))
    assert "cuda" in reason


def test_missing_library_says_how_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_why_not_loaded", lambda: cpu.HOW_TO_BUILD)
    (reason,) = cpu.refusals(Problem("cpu", torch.float32))
    assert "pip install --no-build-isolation" in reason


def test_shapes_are_checked_before_memory_is_touched() -> None:
    query, key, value, labels, key_labels = Case(10, 6, value_width=32).tensors()
    with pytest.raises(RuntimeError, match="key has size 31"):
        cpu.forward(asked(query, key[..., :31], value, labels, key_labels))
    with pytest.raises(RuntimeError, match="key_labels must have shape"):
        cpu.forward(asked(query, key, value, labels, key_labels[:, :5]))
