# SPDX-License-Identifier: Apache-2.0
"""Peak memory of two training steps; run by the benchmarks in a fresh process.

``python -m benchmarks.memory PRESET BATCH fused|dense cpu|cuda`` prints one line of JSON.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

_MEMORY = Path("/proc/meminfo")
SHARE = 0.85
"""Of the memory that is free: more would make the machine swap, or kill something."""


def limit_memory() -> int | None:
    """Let allocations beyond most of the free memory fail here instead of harming others."""
    if not _MEMORY.is_file():
        return None
    fields = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
    limit = int(SHARE * 1024 * int(fields["MemAvailable"].split()[0]))
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return limit


def measure(name: str, batch: int, fused: bool, kind: str, limit: int | None) -> dict[str, Any]:
    """Build, step twice: the peak in bytes above the built model, or that it does not fit."""
    import torch

    from scam.models import ScamConfig
    from scam.profiling import build_step, draw_batch, peak_bytes, resident_bytes
    from scam.training.trainer import Trainer

    def held(device: torch.device, peak: bool = False) -> int:
        if device.type == "cpu":
            return resident_bytes(peak)
        ask = torch.cuda.max_memory_allocated if peak else torch.cuda.memory_allocated
        return ask(device)

    device = torch.device(kind)
    config = ScamConfig.preset(name)
    trainer = Trainer(
        build_step(config, device, fused=fused, amp=kind == "cuda", optimizer="adamw")
    )
    image, labels = draw_batch(config, batch, device)
    built = held(device)

    def steps() -> None:
        for step in (1, 2):
            trainer.step((image, labels), step)

    try:
        return {"peak_bytes": peak_bytes(steps, device)}
    except (RuntimeError, MemoryError) as error:
        if "memory" not in str(error).lower():
            raise
        # What it had got hold of by then is less than what it needs.
        room = f" in {limit / 1e9:.1f} GB" if limit else ""
        least = held(device, peak=True) - built
        return {"refused": f"does not fit{room}", "at_least_bytes": least}


def main() -> None:
    """Measure and print."""
    name, batch, variant, kind = sys.argv[1:]
    limit = limit_memory() if kind == "cpu" else None
    print(json.dumps(measure(name, int(batch), variant == "fused", kind, limit)))


if __name__ == "__main__":
    main()
