# SPDX-License-Identifier: Apache-2.0
"""The compiled CUDA module, judged without a GPU: loading, symbols, resources, instructions."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import pytest
import torch

from scam.ops.backends import cuda, cuda_call
from scam.ops.problem import ATTENTION, MODULATION, Problem

ARCHITECTURES = ("sm_80", "sm_90")
# Registers a thread may have: with 128 threads, four blocks per SM up to 128, three up to 168.
REGISTERS = {
    "modulate": 128,
    "modulation_gradients": 168,
    "pixels_read": 128,
    "latents_read": 128,
    "attention_gradients": 168,
}
OTHERS = 80  # packing, statistics, second stages
OTHERS_SM_100 = 128  # unrolled further there


@pytest.fixture(scope="module")
def module() -> ModuleType:
    try:
        return cuda_call.load()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def cuobjdump() -> str:
    found = shutil.which("cuobjdump")
    spec = importlib.util.find_spec("triton")
    if found is None and spec is not None and spec.origin is not None:
        carried = Path(spec.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        found = str(carried) if carried.exists() else None
    if found is None:
        pytest.skip("no cuobjdump, neither in PATH nor in triton")
    return found


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _kernel(mangled: str) -> str | None:
    names = re.findall(r"_ZN3sca(\d+)(\w+)", mangled)
    return names[0][1][: int(names[0][0])] if names else None


def test_loads_without_a_gpu_and_needs_no_cuda_library(module: ModuleType) -> None:
    assert "_cuda" in _run(sys.executable, "-c", "import scam._cuda as found; print(found)")
    if shutil.which("readelf"):
        needed = _run("readelf", "-d", module.__file__)
        assert "libcuda" not in needed
        assert "libtorch" not in needed


def test_exports_its_initialiser_only(module: ModuleType) -> None:
    if shutil.which("nm") is None:
        pytest.skip("no nm")
    symbols = _run("nm", "-D", "--defined-only", module.__file__)
    names = {line.split()[-1] for line in symbols.splitlines()}
    assert "PyInit__cuda" in names
    assert not [name for name in names if "sca" in name.lower()], names


def test_kernels_fit_their_registers_and_spill_nothing(module: ModuleType, cuobjdump: str) -> None:
    text = _run(cuobjdump, "--dump-resource-usage", module.__file__)
    seen = defaultdict(set)
    architecture = None
    for line in text.splitlines():
        found = re.search(r"arch = (sm_\d+)", line)
        architecture = found[1] if found else architecture
        if name := re.search(r"Function (\S+):", line):
            kernel = _kernel(name[1])
        if "REG:" not in line:
            continue
        usage = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", line)}
        assert kernel is not None
        seen[architecture].add(kernel)
        allowed = REGISTERS.get(kernel, OTHERS)
        if architecture == "sm_100":
            allowed = max(allowed, OTHERS_SM_100)
        assert usage["REG"] <= allowed, (architecture, kernel, usage)
        assert usage["STACK"] == 0, (architecture, kernel, usage)
        assert usage["LOCAL"] == 0, (architecture, kernel, usage)
        assert usage["SHARED"] <= 1024, (architecture, kernel, usage)
    for wanted in ARCHITECTURES:
        assert set(REGISTERS) <= seen[wanted], wanted


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_machine_code_uses_tensor_cores_and_asynchronous_copies(
    architecture: str, module: ModuleType, cuobjdump: str
) -> None:
    text = _run(cuobjdump, "-sass", "-arch", architecture, module.__file__)
    code: dict[str, str] = defaultdict(str)
    for part in text.split("Function : ")[1:]:
        name, _, body = part.partition("\n")
        kernel = _kernel(name)
        if kernel in REGISTERS:
            code[name] = body
    assert {_kernel(name) for name in code} == set(REGISTERS)
    for name, body in code.items():
        assert "HMMA.16816.F32" in body, name
        assert "LDSM.16.M" in body, name  # ldmatrix
        assert "LDGSTS.E.BYPASS.128" in body, name  # cp.async of 16 bytes
        assert not re.search(r"\b(LDL|STL)\b", body), name
        if "latents_read" not in name:  # its result goes through partial sums
            writes = re.findall(r"STG\S*", body)
            assert any(".128" in write for write in writes), name


def _packing(module: ModuleType) -> object:
    call = module.Pack()
    call.batch, call.channels, call.dtype = 1, 16, 0
    return call


def test_wrong_arguments_raise_with_words(module: ModuleType) -> None:
    call = _packing(module)
    call.channels = 24
    with pytest.raises(
        ValueError, match=r"channels: expected a multiple of 16 up to 1024, got 24"
    ):
        module.pack(call, 0)
    call = _packing(module)
    with pytest.raises(ValueError, match="order: expected an address, got none"):
        module.pack(call, 0)
    call.dtype = 7
    with pytest.raises(ValueError, match="dtype: expected 0 to 1, got 7"):
        module.pack(call, 0)
    modulation = module.Modulation()
    modulation.channels, modulation.batch, modulation.channels_last = 16, 1, 1
    modulation.x = module.View(64, [0, 0, 20, 1])
    with pytest.raises(ValueError, match="x: expected strides that are multiples of 8, got 20"):
        module.modulation_forward(modulation, 0)
    modulation.x = module.View(72, [0, 0, 16, 1])
    with pytest.raises(ValueError, match="x: expected an address that is a multiple of 16"):
        module.modulation_forward(modulation, 0)
    modulation.x = module.View(64, [0, 0, 16, 2])
    with pytest.raises(ValueError, match="x: expected channel stride 1, got 2"):
        module.modulation_forward(modulation, 0)


def test_no_more_channels_than_refusals_say(module: ModuleType) -> None:
    assert module.max_channels == 1024


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_launch_without_a_gpu_raises_with_words(module: ModuleType) -> None:
    call = _packing(module)
    memory = torch.zeros(4096, dtype=torch.int64)
    address = memory.data_ptr()
    tokens = module.Tokens()
    tokens.heads = tokens.count = tokens.roles = 1
    tokens.rows = tokens.scalars = tokens.sources = address
    call.tokens, call.order = tokens, address
    call.rows = [module.View(address, [1, 1, 1, 1])]
    with pytest.raises(RuntimeError, match=r"(?i)cuda|driver|device"):
        module.pack(call, 0)


def test_refusals_in_words() -> None:
    def why(**facts: object) -> str:
        return "; ".join(
            cuda.refusals(Problem(**({"device_type": "cpu", "dtype": torch.bfloat16} | facts)))
        )

    assert "computes on NVIDIA GPUs, the tensors are on cpu" in why()
    assert "computes in bf16 and fp16, not float32" in why(dtype=torch.float32)
    old = {"device_type": "cuda", "capability": (7, 5)}
    assert torch.version.hip or "needs compute capability 8.0, this GPU has 7.5" in why(**old)
    assert "has no empty='uniform'" in why(empty="uniform")
    assert "needs widths that are multiples of 16" in why(aligned=False)
    assert "serves attention up to width 256" in why(width_limit=672)
    assert "width 256" not in why(width_limit=672, op=MODULATION)
    assert "serves a modulation up to 1024 channels" in why(width_limit=None, op=MODULATION)
    wide = {"device_type": "cuda", "width_limit": 1024, "op": MODULATION}
    small = "a modulation up to 672 channels where a block has 99 KB of shared memory"
    for capability in ((8, 6), (8, 9), (12, 0), (12, 1)):
        assert small in why(capability=capability, **wide)
        assert small not in why(capability=capability, device_type="cuda", op=MODULATION)
    for capability in ((8, 0), (9, 0), (10, 0)):
        assert small not in why(capability=capability, **wide)
    assert small not in why(capability=(8, 6), **(wide | {"op": ATTENTION}))


def test_says_how_to_build_what_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scam._cuda", None)
    cuda_call.load.cache_clear()
    try:
        reasons = cuda.refusals(Problem("cpu", torch.bfloat16))
    finally:
        cuda_call.load.cache_clear()
    assert reasons[-1].startswith("not built: with nvcc")
