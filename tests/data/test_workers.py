# SPDX-License-Identifier: Apache-2.0
"""Loader workers end with the process that they work for, however they were started."""

import os
import subprocess
import sys
import time

import pytest

OWNER = """
import multiprocessing, os, signal, sys, time
import numpy as np
from scam.data import Mannequins, PairDataset
from scam.data.dataset import in_order

class Slow(Mannequins):
    def load(self, index, size):
        if index:
            time.sleep(600)
        return super().load(index, size)

def main():
    how, end = sys.argv[1:]
    multiprocessing.set_start_method(how)
    found = in_order(PairDataset(Slow("train", 8), (16, 16)), 1, workers=1)
    next(found)
    workers = multiprocessing.active_children()
    print(*(w.pid for w in workers), flush=True)
    if end == "SIGTERM":
        begin = time.monotonic()
        for worker in workers:
            os.kill(worker.pid, signal.SIGTERM)
            worker.join(60)
        print(time.monotonic() - begin, flush=True)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    main()
"""


def is_running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("how", ["fork", "forkserver", "spawn"])
def test_busy_workers_end_with_their_owner(how: str, tmp_path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    environment = {**os.environ, "PYTHONPATH": root}
    for end in ("SIGTERM", "SIGKILL"):
        process = subprocess.run(
            [sys.executable, str(script), how, end],
            stdout=subprocess.PIPE, text=True, check=False, env=environment, timeout=120,
        )  # fmt: skip
        workers, *seconds = process.stdout.splitlines()
        assert all(float(number) < 10 for number in seconds)
        deadline = time.monotonic() + 10
        while any(is_running(int(worker)) for worker in workers.split()):
            assert time.monotonic() < deadline, f"a worker outlives its owner ({how}, {end})"
            time.sleep(0.05)
