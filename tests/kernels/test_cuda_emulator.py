# SPDX-License-Identifier: Apache-2.0
"""The emulator notices the mistakes it is there for."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent / "emulator"))
import harness

RIGHT, NO_BARRIER, NO_WAIT, OUT_OF_BOUNDS, MISALIGNED = range(5)
HALF_A_BARRIER, HALF_A_WARP, OVERWRITTEN, BEYOND = range(5, 9)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    why = harness.why_not()
    if why:
        pytest.skip(why)
    return build(tmp_path_factory.mktemp("emulator"))


def build(folder: Path) -> ctypes.CDLL:
    library = folder / "mistakes.so"
    sources = [str(harness.HERE / name) for name in ("mistakes.cpp", "collectives.cpp")]
    command = [*harness.compiler(), *harness.FLAGS, f"-I{harness.HERE}", "-shared", *sources]
    subprocess.run([*command, "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.run.restype = ctypes.c_char_p
    return loaded


def run(
    emulator: ctypes.CDLL, kind: int, order: int = 0, early: bool = False
) -> tuple[str, torch.Tensor]:
    given, found = torch.arange(256.0), torch.full((64,), -1.0)
    emulator.sca_emulator_order(order)
    emulator.sca_emulator_copies(early)
    addresses = (ctypes.c_void_p(tensor.data_ptr()) for tensor in (given, found))
    return emulator.run(kind, *addresses).decode(), found


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("order", harness.ORDERS)
def test_right_code_gives_the_same_in_any_order(
    emulator: ctypes.CDLL, order: int, early: bool
) -> None:
    error, found = run(emulator, RIGHT, order, early)
    assert error == ""
    assert torch.equal(found, 4.0 * ((torch.arange(64) + 33) % 64))


def test_a_missing_barrier_shows_in_another_order(emulator: ctypes.CDLL) -> None:
    results = [run(emulator, NO_BARRIER, order)[1] for order in harness.ORDERS]
    assert not torch.equal(results[0].nan_to_num(-2), results[1].nan_to_num(-2))


def test_what_was_not_waited_for_is_not_there(emulator: ctypes.CDLL) -> None:
    assert run(emulator, NO_WAIT)[1].isnan().any()


def test_what_arrives_too_early_overwrites(emulator: ctypes.CDLL) -> None:
    late, early = (run(emulator, OVERWRITTEN, early=early)[1] for early in (False, True))
    assert torch.equal(late, run(emulator, RIGHT)[1])
    assert not torch.equal(early, late)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (OUT_OF_BOUNDS, "shared memory: out of bounds"),
        (MISALIGNED, "shared memory: misaligned"),
        (HALF_A_BARRIER, "a thread has left before a barrier|deadlock"),
        (HALF_A_WARP, "different collectives|deadlock"),
    ],
)
def test_errors_have_words(emulator: ctypes.CDLL, kind: int, words: str) -> None:
    error, _ = run(emulator, kind)
    assert any(word in error for word in words.split("|")), error


def sanitized(*command: str) -> subprocess.CompletedProcess[str]:
    environment = None if harness.why_not() else harness.sanitized()
    if environment is None:
        pytest.skip(harness.why_not() or "the compiler has no AddressSanitizer")
    return subprocess.run(
        [sys.executable, *command],
        cwd=Path(__file__).parent,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_an_access_beyond_a_tensor_is_seen(tmp_path: Path) -> None:
    script = "import sys, test_cuda_emulator as t; from pathlib import Path; "
    script += "print(t.run(t.build(Path(sys.argv[1])), int(sys.argv[2]))[0])"
    assert sanitized("-c", script, str(tmp_path), str(RIGHT)).returncode == 0
    wrong = sanitized("-c", script, str(tmp_path), str(BEYOND))
    assert wrong.returncode != 0
    assert "heap-buffer-overflow" in wrong.stderr


@pytest.mark.exhaustive
def test_kernels_stay_inside_their_tensors() -> None:
    done = sanitized("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "test_cuda_emulated.py")
    assert done.returncode == 0, (done.stdout + done.stderr)[:6000]
