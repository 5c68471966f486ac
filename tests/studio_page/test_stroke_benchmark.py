# SPDX-License-Identifier: Apache-2.0
"""The benchmark of docs/studio.md that draws strokes in a browser."""

import re
import subprocess
import sys

from page_user import Studio


def test_a_stroke_is_timed(studio: Studio) -> None:
    command = [sys.executable, "-m", "benchmarks.studio_browser", str(studio.run), "--strokes=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = re.search(r"^1 stroke: median (\d+) ms, most", done.stdout, re.M)
    assert found is not None
    assert int(found[1]) > 0
