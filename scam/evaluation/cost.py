# SPDX-License-Identifier: Apache-2.0
"""What one edit costs: time and memory, one pair of images at a time."""

import statistics
import time
from collections.abc import Callable

import torch

from scam.errors import sized
from scam.evaluation.batches import Batch
from scam.evaluation.evaluated_model import device_name
from scam.evaluation.rows import Row
from scam.profiling.memory import peak_allocated

TRANSFER = "transfer: two encoded, one painted"
_REPEATS, _FEWEST = 10, 3
_SECONDS = 10.0  # after so long no further repeats


@torch.no_grad()
def cost_rows(pair: Batch) -> list[Row]:
    """Rows for a :class:`Batch` of one host and donor."""
    evaluated = pair.evaluated
    encode = evaluated.encode

    def transfer() -> None:
        subject, scene = (
            encode(pair.donor_image, pair.donor_labels, "donor"),
            encode(pair.image, pair.labels, "host"),
        )
        pair.generate(pair.labels, evaluated.mix(subject, scene))

    latents = encode(pair.image, pair.labels)

    def generate_again() -> None:
        pair.generate(pair.labels, latents)

    peak = peak_allocated(transfer, evaluated.device) / 1e6
    where = device_name(evaluated.device)
    note = f"{where}, {sized(evaluated.model.config.size, order=False)}, fp32"
    model = "the loaded model"
    return [
        _time(TRANSFER, transfer, evaluated.device, note),
        _time("repaint under another map", generate_again, evaluated.device, note),
        Row("cost", "peak memory of a transfer", peak, "MB", 1, model, "lower", note),
    ]


def _time(what: str, call: Callable[[], object], device: torch.device, note: str) -> Row:
    """The median of up to ten calls, fewer where they take long."""
    call()
    times: list[float] = []
    while len(times) < _FEWEST or (len(times) < _REPEATS and sum(times) < _SECONDS):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    median = 1e3 * statistics.median(times)
    return Row("cost", what, median, "ms", len(times), "", "lower", f"median; {note}")
