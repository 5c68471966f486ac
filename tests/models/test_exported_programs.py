# SPDX-License-Identifier: Apache-2.0
"""Exported programs against the model they came from."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.export import ExportedProgram

from scam.errors import InputError
from scam.models import Scam, ScamConfig
from scam.models.export import export_encoder, export_generator
from scam.nn.position import position_code

pytestmark = pytest.mark.slow  # tracing takes its time

Exported = tuple[Scam, ExportedProgram, ExportedProgram]
CONFIG = ScamConfig.preset("tiny", size=(33, 32), num_labels=5, latents_per_label=3)
# Two orders of float32 sums through some twenty layers: 2^-24 of about 1, grown a hundredfold.
ROUND_OFF = {"atol": 1e-5, "rtol": 1e-5}


def pictures(batch: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(-1, 4, (batch, 33, 32), generator=draw).int()  # 4 is absent
    return torch.rand(batch, 3, 33, 32, generator=draw) * 2 - 1, labels


DENSE = pytest.param(False, marks=pytest.mark.exhaustive, id="dense")


@pytest.fixture(scope="module", params=[pytest.param(True, id="fused"), DENSE])
def exported(request: pytest.FixtureRequest) -> Exported:
    torch.manual_seed(0)
    model = Scam(CONFIG, fused=request.param).eval()
    return model, export_encoder(model), export_generator(model)


def test_programs_generate_what_the_model_does_at_any_batch(exported: Exported) -> None:
    model, encoder, generator = exported[0], exported[1].module(), exported[2].module()
    image, labels = pictures(3)
    for count in (1, 2, 3):
        with torch.no_grad():
            expected = model.encode(image[:count], labels[:count])
            tokens, present = encoder(image[:count], labels[:count])
            generated = generator(labels[:count], tokens)
            again = model.generate(labels[:count], expected)
        assert torch.equal(present, expected.present)
        torch.testing.assert_close(tokens, expected.tokens, **ROUND_OFF)
        torch.testing.assert_close(generated, again, **ROUND_OFF)


def test_a_program_runs_in_a_new_process(exported: Exported, tmp_path: Path) -> None:
    """A dense one where scam is not installed, a fused one with scam.ops alone."""
    model, _, generator = exported
    image, labels = pictures(2)
    with torch.no_grad():
        z = model.encode(image, labels)
        torch.save((labels, z.tokens, model.generate(labels, z)), tmp_path / "case.pt")
    torch.export.save(generator, tmp_path / "generator.pt2")
    script = (
        "import sys, torch\n"
        + ("import scam.ops\n" if model.fused else "sys.modules['scam'] = None\n")
        + "labels, tokens, expected = torch.load('case.pt', weights_only=True)\n"
        "program = torch.export.load('generator.pt2').module()\n"
        "torch.testing.assert_close(program(labels, tokens), expected, atol=1e-5, rtol=1e-5)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=600)


def test_no_program_names_the_library_of_one_backend(exported: Exported) -> None:
    for program in exported[1:]:
        called = {str(node.target) for node in program.graph.nodes}
        assert not [name for name in called if name.startswith("scam_cpu")]


def test_exporting_leaves_nothing_behind_in_caches(exported: Exported) -> None:
    assert type(position_code(40, 33, 32)) is Tensor
    with torch.no_grad():
        assert exported[0].encode(*pictures(1)).tokens.isfinite().all()


def test_a_released_generator_is_refused() -> None:
    model = Scam(ScamConfig.preset("tiny", size=(64, 64), fidelity="released"))
    with pytest.raises(InputError, match="fidelity='released' draws noise"):
        export_generator(model)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    """The system itself refuses: files may not grow beyond a limit in that process."""
    script = (
        "import resource, sys, torch\n"
        "from scam.errors import InputError\n"
        "from scam.models import export, Scam, ScamConfig\n"
        "program = torch.export.export(torch.nn.Linear(200, 200), (torch.ones(1, 200),))\n"
        "export.export_encoder = export.export_generator = lambda model: program\n"
        "export._difference = lambda *_: 0.0\n"
        "model = Scam(ScamConfig.preset('tiny', size=(33, 32), num_labels=5))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    export.save_programs(model, export.Path('new/out'))\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert (result.returncode, result.stdout) == (0, "cannot write new/out: File too large\n")
    assert not list(tmp_path.iterdir())
