# SPDX-License-Identifier: Apache-2.0
"""``python tests/kernels/floors.py``: what limits the GPU kernels, from machine code for sm_90.

Writes ``floors.csv``, a row per headline problem, pass and backend, batch 16, bf16:

- launches, given layouts or labels: of our kernels, and operations of PyTorch that compute;
- kernel: which issues most; its registers, shared memory (KB) and warps an SM;
- issue_us: instructions of all our kernels (``issued.py`` estimates them) on 132 SMs that each
  issue 4 per cycle at 1.98 GHz; memory_us: the least bytes of the pass at 4.3 TB/s, as a copy.

Neither is a time: a pass cannot be faster than the larger one.
"""

import csv
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import launched  # noqa: E402
import torch  # noqa: E402
from issued import Sizes, issued  # noqa: E402
from launched import Launched, headline  # noqa: E402

from scam.ops.backends.cuda_call import TILE  # noqa: E402
from scam.ops.tiles import PIECES  # noqa: E402

TABLE = HERE / "floors.csv"
ISSUES_PER_S = 132 * 4 * 1.98e9
BYTES_PER_S = 4.3e12
BACKENDS = ("triton", "cuda")
CUDA_TILE = 256
"""Pixels in a tile of the CUDA backend's plan."""


@dataclass(frozen=True)
class Floor:
    """A row of the table."""

    case: str
    step: str
    backend: str
    compiler: str
    launches: int
    launches_given_labels: int
    kernel: str
    registers: int
    shared_kb: float
    warps_per_sm: int
    issue_us: float
    memory_us: float

    @property
    def key(self) -> tuple[str, str, str]:
        return self.case, self.step, self.backend


def compiler(backend: str) -> str:
    """Name and version: other versions make other code."""
    if backend == "triton":
        import triton

        return f"triton {triton.__version__}"
    told = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return f"nvcc {told.partition('release ')[2].partition(',')[0]}"


def floors(case: headline.Case, backend: str) -> Iterator[Floor]:
    """Both passes of a headline problem."""
    with launched.drawn_as_on_a_gpu(case) as drawn:
        one = headline.headline(case, drawn, "layouts", None)
        moved = {"forward": one.bytes, "backward": one.backward_bytes}
        labels = drawn.query_labels if hasattr(drawn, "query_labels") else drawn.labels
        work = Work(case, labels.flatten(1))
        given = {how: launched.passes(case, drawn, how, backend) for how in headline.GIVEN}
    for step, found in given["layouts"].items():
        counts = [len(given[how][step].launches) + given[how][step].others for how in given]
        times = [(work.instructions(one) / ISSUES_PER_S, one) for one in found.launches]
        slowest = max(times, key=lambda pair: pair[0])[1]
        yield Floor(
            case.id, step, backend, compiler(backend), counts[1], counts[0],
            slowest.kernel, slowest.registers, round(slowest.shared / 1024, 1),
            slowest.warps_per_sm, round(sum(time for time, _ in times) * 1e6, 1),
            round(moved[step] / BYTES_PER_S * 1e6, 1),
        )  # fmt: skip


class Work:
    """What there is to do: labels (B, N)."""

    def __init__(self, case: headline.Case, labels: torch.Tensor) -> None:
        self.case = case
        self.channels = getattr(case, "channels", None) or case.width  # type: ignore[union-attr]
        self.counts = [image.long().bincount(minlength=case.num_labels) for image in labels]
        self.numbers = labels.numel() * self.channels

    def tiles(self, size: int) -> list[torch.Tensor]:
        """By image and label."""
        return [(count + size - 1) // size for count in self.counts]

    def pieces(self, size: int) -> int:
        """Of tiles, as ``scam.ops.tiles.split`` bounds them."""
        wanted = -(-PIECES // len(self.counts))
        parts = (
            torch.minimum(tiles, 1 + wanted * tiles // tiles.sum()) for tiles in self.tiles(size)
        )
        return int(sum(part.sum() for part in parts))

    def instructions(self, one: Launched) -> float:
        """Of all warps of a launch."""
        return self._issued(one, *(self._triton(one) if one.options else self._cuda(one)))

    def _issued(self, one: Launched, blocks: float, rounds: float, pixels: int, cut: int) -> float:
        sizes = Sizes(
            channels=self.channels, pixels=pixels, warps=one.warps, rounds=rounds,
            parts=self.pieces(cut) / self._groups,
            share=min(1, pixels / 16 / one.warps),
            reads=self.numbers / (256 * one.warps * one.blocks),
        )  # fmt: skip
        return blocks * one.warps * issued(one.code, sizes)

    @property
    def _groups(self) -> int:
        return int(sum((count > 0).sum() for count in self.counts))

    def _triton(self, one: Launched) -> tuple[float, float, int, int]:
        size = one.options.get("TILE", 64)
        tiles, pieces = int(sum(t.sum() for t in self.tiles(size))), self.pieces(size)
        chunks = one.options.get("CHUNKS", 1)
        if one.kernel in ("forward", "modulate"):
            return tiles * chunks, 1, size, size
        if one.kernel in ("backward", "token_gradients"):
            return pieces * chunks, tiles / pieces, size, size
        return one.blocks, 1, size, size

    def _cuda(self, one: Launched) -> tuple[float, float, int, int]:
        if one.kernel == "pixels_read":
            return int(sum(t.sum() for t in self.tiles(TILE))), 1, TILE, CUDA_TILE
        if one.kernel == "modulate":
            blocks, tiles = (int(sum(t.sum() for t in self.tiles(n))) for n in (CUDA_TILE, TILE))
            return blocks, tiles / blocks, TILE, CUDA_TILE
        gathers = one.kernel in ("attention_gradients", "modulation_gradients")
        if not gathers:
            return one.blocks, 1, 16 * one.warps, CUDA_TILE
        least = 3 if one.kernel.startswith("modulation") else 4
        pixels = _gathered(self.channels, one.shared, least)
        pieces = self.pieces(CUDA_TILE)
        tiles = int(sum(t.sum() for t in self.tiles(pixels)))
        slices = -(-self.channels // 128) if one.kernel.startswith("modulation") else 1
        return pieces * slices, tiles / pieces, pixels, CUDA_TILE


def _gathered(channels: int, shared: int, tiles: int) -> int:
    """Pixels of a tile, of which a block has at least so many: as many as fit, as launchers do."""
    sizes = (64, 32, 16)
    return next(s for s in sizes if tiles * 2 * channels * s <= shared or s == sizes[-1])


def read() -> dict[tuple[str, str, str], Floor]:
    """The committed table."""
    kinds: dict[str, Any] = {one.name: one.type for one in fields(Floor)}
    with TABLE.open() as file:
        rows = [
            Floor(**{name: kinds[name](value) for name, value in row.items()})
            for row in csv.DictReader(file)
        ]
    return {row.key: row for row in rows}


def main() -> None:
    """Write the table."""
    for backend in BACKENDS:
        if why := launched.why_not(backend):
            raise SystemExit(f"floors.py: error: {backend}: {why}")
    rows = [row for case in headline.CASES for b in BACKENDS for row in floors(case, b)]
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, [one.name for one in fields(Floor)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    print(TABLE.read_text())


if __name__ == "__main__":
    main()
