# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from scam.training import precision
from scam.training.precision import resolve_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "dtype", "word"),
    [
        ({"avx512_bf16": True}, torch.bfloat16, "avx512_bf16"),
        ({"amx_bf16": True, "avx2": True}, torch.bfloat16, "amx_bf16"),
        ({"avx512_f": True, "avx512_bf16": False}, None, "no bfloat16 instructions"),
        ({}, None, "float32"),
    ],
)
def test_a_cpu_uses_bfloat16_only_where_it_has_it(
    monkeypatch: pytest.MonkeyPatch,
    capabilities: dict[str, bool],
    dtype: torch.dtype | None,
    word: str,
) -> None:
    monkeypatch.setattr(precision, "_cpu_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    found = resolve_precision(True, CPU)
    assert found.dtype is dtype
    assert word in found.reason
    assert not found.scaled


@pytest.mark.parametrize(
    ("pytorch", "onednn", "dtype"),
    [
        ("AVX512", "ALL", torch.bfloat16),
        ("AVX512", "AVX512_CORE_BF16", torch.bfloat16),
        ("AVX512", "AVX2", None),
        ("AVX2", "ALL", None),
        ("AVX2", "AVX2", None),
    ],
)
def test_limits_set_by_the_environment_count(
    monkeypatch: pytest.MonkeyPatch, pytorch: str, onednn: str, dtype: torch.dtype | None
) -> None:
    """The CPU still reports bfloat16 instructions that its libraries may not use."""
    monkeypatch.setattr(precision, "_cpu_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: pytorch)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", onednn)
    assert resolve_precision(True, CPU).dtype is dtype


@pytest.mark.parametrize(
    ("capability", "dtype", "scaled"),
    [
        ((9, 0), torch.bfloat16, False),
        ((8, 0), torch.bfloat16, False),
        ((7, 5), torch.float16, True),
    ],
)
def test_a_gpu_by_its_age(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype, scaled: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    found = resolve_precision(True, CUDA)
    assert (found.dtype, found.scaled) == (dtype, scaled)


def test_old_torch_without_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision(True, CPU).dtype is None


def test_without_amp_everything_is_float32() -> None:
    assert resolve_precision(False, CUDA).dtype is None
