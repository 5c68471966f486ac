# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest

from benchmarks import prefer
from benchmarks.headline import CASES
from scam.ops.preference import TABLE
from scam.ops.problem import ATTENTION


def test_the_table_is_what_results_and_floors_say(tmp_path: Path) -> None:
    """Else: python -m benchmarks.prefer."""
    prefer.write(tmp_path / "preferred.csv")
    assert (tmp_path / "preferred.csv").read_text() == TABLE.read_text()


def test_measurements_have_a_row_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only passes that both backends made are added up, and other lines are not times."""
    case = {"case": CASES[0].id, "given": "layouts", "gpu": "NVIDIA H200", "dtype": "bfloat16"}
    rows = [
        case | {"backend": "triton", "what": "forward", "seconds": 3e-4},
        case | {"backend": "triton", "what": "backward", "seconds": 1e-4},
        case | {"backend": "cuda", "what": "forward", "seconds": 2e-4},
        case | {"backend": "cuda", "what": "host of forward", "seconds": 9.0},
        {"case": CASES[0].id, "what": "refused", "why": "not built"},
    ]
    (tmp_path / "h200").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "h200" / "kernels.jsonl").write_text(lines)
    monkeypatch.setattr(prefer, "RESULTS", tmp_path)
    first, *others = prefer.preferences()
    assert (first.gpu, first.op, first.dtype) == ("NVIDIA H200", ATTENTION, "bfloat16")
    assert first.backend == "cuda"
    assert first.why == "cuda 0.20 ms, triton 0.30 ms (1 call, measured)"
    assert {row.gpu for row in others} == {"*"}
