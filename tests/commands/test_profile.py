# SPDX-License-Identifier: Apache-2.0
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scam import profile, profiling
from scam.errors import InputError
from scam.models import ScamConfig
from scam.profiling import table
from scam.profiling.modules import OPTIMIZERS, REST

CPU = torch.device("cpu")
SMALL = ["--size", "32", "32", "--steps", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("profile")
    profile.main([*SMALL, "--fused-sca", "--out", str(out)])
    return out


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "profile.json").read_text())
    return found


def test_modules_are_measured(profiled: Path) -> None:
    found = read(profiled)
    assert found["preset"] == "tiny"
    assert found["model"]["size"] == [32, 32]
    assert found["variants"].keys() == {"fused"}
    variant = found["variants"]["fused"]
    modules = variant["modules"]
    assert {"encoder", "encoder.cross.0", "generator.blocks.3", "perceptual"} <= modules.keys()
    for name in ("encoder", "generator", "discriminator"):
        assert all(modules[name][key] > 0 for key in ("forward_s", "backward_s", "saved_bytes"))
    inside = sum(v["saved_bytes"] for k, v in modules.items() if k.startswith("encoder."))
    assert inside <= modules["encoder"]["saved_bytes"]
    assert variant["step_s"] > 0


def test_most_of_the_time_finds_its_module(profiled: Path) -> None:
    modules = read(profiled)["variants"]["fused"]["modules"]
    tops = {k: v["backward_s"] for k, v in modules.items() if "." not in k}
    assert tops[REST] < 0.3 * sum(tops.values())
    assert tops[OPTIMIZERS] == 0


def test_the_trace_is_whole(profiled: Path) -> None:
    assert sorted(path.name for path in profiled.iterdir()) == ["profile.json", "trace_fused.json"]
    events = json.loads((profiled / "trace_fused.json").read_text())["traceEvents"]
    assert any(event.get("name") == "scam.generator.blocks.0" for event in events)


def test_the_table_shows_one_variant_or_both(profiled: Path) -> None:
    found = read(profiled)
    assert table.header(found).startswith("tiny, 32x32 (height x width), batch 1, CPU, ")
    fused = found["variants"]["fused"]
    alone = table.render({"fused": fused})
    assert "dense" not in alone
    rows = [line.split()[0] for line in alone.splitlines() if line[:1].strip()]
    tops = ["encoder", "generator", "discriminator", "perceptual", OPTIMIZERS, REST]
    assert rows == [*tops, "fused:"]
    slower = {**fused, "step_s": 2 * fused["step_s"]}
    both = table.render({"fused": fused, "dense": slower})
    assert "dense over fused: time 2.00x, saved 1.00x" in both


def test_saved_bytes_are_counted_once_where_they_were_saved() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2, bias=False))
    x = torch.randn(5, 4)
    names = {"first": net[0], "activation": net[1], "last": net[2]}
    own = [*net.parameters()]
    with profiling.Scopes(names) as scopes, profiling.saved_bytes(scopes, own) as counted:
        out = net(x)
    # Linear keeps its input; tanh its output, which is the next one's input: not counted again.
    assert +counted == {"first": 5 * 4 * 4, "activation": 5 * 8 * 4}
    out.sum().backward()


def test_time_goes_to_the_module_whose_forward_made_the_node() -> None:
    small, large = nn.Linear(8, 8), nn.Linear(512, 512)
    x = torch.randn(512, 512, requires_grad=True)

    def run() -> None:
        (small(x[:, :8]).sum() + large(x).sum()).backward()

    with profiling.Scopes({"small": small, "large": large}) as scopes:
        costs = profiling.module_times(run, scopes, CPU)
    assert costs["large"].backward_s > costs["small"].backward_s > 0
    assert costs["large"].forward_s > costs["small"].forward_s > 0


def test_peak_counts_what_is_freed_again() -> None:
    """In a process of its own: what earlier tests left with the allocator would hide it."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("no way to restart the peak here")
    script = (
        "import torch; from scam import profiling; "
        "ones = lambda: torch.ones(30_000_000).sum(); "
        "print(profiling.peak_bytes(ones, torch.device('cpu')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 100e6 < int(done.stdout) < 200e6


def test_equal_configurations_start_with_equal_weights() -> None:
    config = ScamConfig.preset("tiny", size=(32, 32))
    fused, dense = (profiling.build_step(config, CPU, fused=flag) for flag in (True, False))
    for a, b in zip(fused.model.parameters(), dense.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_mistakes_are_one_line() -> None:
    with pytest.raises(InputError, match="--steps 0: expected"):
        profile.main(["--steps", "0"])
    done = subprocess.run(
        [sys.executable, "-m", "scam.profile", "--size", "8", "8"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("python -m scam.profile: error: --size 8 8: expected at least")


def test_another_kind_of_model(tmp_path: Path) -> None:
    profile.main(["--model", "clade", "--steps", "1", "--fused-sca", "--out", str(tmp_path / "p")])
    report = json.loads((tmp_path / "p" / "profile.json").read_text())
    assert (report["model"]["kind"], report["model"]["fidelity"]) == ("clade", "matched")
    with pytest.raises(InputError, match="--fidelity default: expected matched, paper or rel"):
        profile.main(["--model", "clade", "--fidelity", "default"])
