# SPDX-License-Identifier: Apache-2.0
"""How to read a table: its arrows, and what its rows say that may surprise."""

from collections.abc import Iterator, Sequence

from scam.data.split import FEW_HELD_OUT
from scam.errors import counted
from scam.evaluation.distribution import REAL
from scam.evaluation.needs import sources
from scam.evaluation.rows import Row, render


def table(rows: Sequence[Row]) -> str:
    """The table, how to read it, and where the weights come from that it lacks."""
    return "\n".join([render(rows), *legend(rows), *sources(rows)])


def legend(rows: Sequence[Row]) -> list[str]:
    """Lines for below the table of ``rows``: only what these call for."""
    return ["\u2191 higher is better, \u2193 lower is better", *_few(rows), *_surprises(rows)]


def _few(rows: Sequence[Row]) -> Iterator[str]:
    images = max((row.n for row in rows if row.metric != "cost"), default=0)
    if 0 < images < FEW_HELD_OUT:
        are = "is" if images == 1 else "are"
        yield (
            f"{counted(images, 'image')} {are} few: a different choice of images would give "
            f"different numbers (noisy below {FEW_HELD_OUT})"
        )


def _surprises(rows: Sequence[Row]) -> Iterator[str]:
    model = _value(rows, "psnr", "reconstruction, pooled")
    flat = _value(rows, "psnr", "flat colours, pooled")
    if model is not None and flat is not None and model < flat:
        yield (
            "psnr: the reconstructions are worse than flat colours, which give each label its "
            "mean colour in that image: the model has not learnt these images yet"
        )
    away, stayed = (_value(rows, "cycle", f"A to {x} to A, pooled") for x in "BA")
    if away is not None and stayed is not None and stayed < away:
        yield (
            "cycle: A to A to A is not an upper bound of A to B to A: both encode a generated "
            "image, and B's label map may show more of a label than A's"
        )
    for metric in ("fid", "fd"):
        if _nearer_than_real(rows, metric):
            yield (
                f"{metric}: generated images can be closer to the real ones than other real "
                "images are, since reconstructions show the images that are measured"
            )
    if any(row.metric == "kid" and (row.value or 0) < 0 for row in rows):
        yield "kid: the estimate is unbiased, so it can be below 0 where two sets hardly differ"


def _value(rows: Sequence[Row], metric: str, what: str) -> float | None:
    return next((x.value for x in rows if (x.metric, x.what) == (metric, what)), None)


def _nearer_than_real(rows: Sequence[Row], metric: str) -> bool:
    mine = [row for row in rows if row.metric == metric and row.value is not None]
    real = min((row.value for row in mine if row.what == REAL and row.value), default=None)
    return real is not None and any((row.value or 0) < real for row in mine if row.what != REAL)
