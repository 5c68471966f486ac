# SPDX-License-Identifier: Apache-2.0
"""Encoder and generator as ``torch.export`` programs, for use without this package's classes."""

import io
import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from scam.errors import InputError
from scam.models.base import SynthesisModel
from scam.models.styles import Styles
from scam.storage.files import files_aside

FILES = ("encoder.pt2", "generator.pt2", "config.json")
"""What :func:`save_programs` writes."""
MOST_PICTURES = 64
"""Largest batch of an exported program."""


class _Encoder(nn.Module):
    def __init__(self, model: SynthesisModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        styles = self.model.encode(image, labels)
        return styles.tokens, styles.present


class _Generator(nn.Module):
    def __init__(self, model: SynthesisModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, labels: Tensor, tokens: Tensor) -> Tensor:
        prepared = self.model.prepare(labels)
        return self.model.generate(prepared, Styles(tokens, prepared.present))


def export_encoder(model: SynthesisModel) -> ExportedProgram:
    """From image (B, 3, H, W) and int32 labels (B, H, W) to tokens (B, m, d) and present (B, L).

    B is free up to ``MOST_PICTURES``; H and W are the model's. The program runs on the model's
    device and prepares the label maps itself. A fused model's program calls the operators of
    ``scam.ops``, which has to be imported before it is loaded; ``model.configure(fused=False)``
    first makes one that needs nothing but PyTorch, at the paper's dense cost.
    """
    height, width = model.config.size
    image = model.mean_tokens.new_zeros(2, 3, height, width)
    return _export(_Encoder(model), image, _labels(model))


def export_generator(model: SynthesisModel) -> ExportedProgram:
    """From int32 labels (B, H, W) and tokens (B, m, d) to the image (B, 3, H, W) in [-1, 1].

    As :func:`export_encoder`. Raises InputError for a model that draws noise whenever it
    generates.
    """
    if model.needs_noise:
        released = " with fidelity='released'" if model.config.released else ""
        raise InputError(
            f"a model of kind {model.config.kind!r}{released} draws noise whenever it generates: "
            "expected one that needs none, to export its generator"
        )
    tokens = model.mean_tokens.expand(2, -1, -1).clone()
    return _export(_Generator(model), _labels(model), tokens)


def save_programs(model: SynthesisModel, folder: Path, *, overwrite: bool = False) -> float:
    """Write both programs and the model's ``config.json``, all of them or none.

    Returns the largest difference, of images in [-1, 1], between a random one as the programs
    and as the model reconstruct it. InputError as for :func:`export_generator`, or if ``folder``
    cannot be written, or holds one of the files and is not to be overwritten.
    """
    encoder, generator = export_encoder(model), export_generator(model)
    apart = _difference(model, encoder, generator)
    with files_aside(folder, FILES, overwrite=overwrite) as aside:
        (aside / "encoder.pt2").write_bytes(_saved(encoder))
        (aside / "generator.pt2").write_bytes(_saved(generator))
        description = json.dumps(model.description(), indent=2) + "\n"
        (aside / "config.json").write_text(description)
    return apart


def _saved(program: ExportedProgram) -> bytes:
    """The file of ``program``. PyTorch's own writer ends the process where a disk is full."""
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


@torch.no_grad()
def _difference(
    model: SynthesisModel, encoder: ExportedProgram, generator: ExportedProgram
) -> float:
    config, device = model.config, model.mean_tokens.device
    draw = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, *config.size, generator=draw).to(device) * 2 - 1
    cells = torch.randint(config.num_labels, (1, 1, 8, 8), generator=draw).float()
    labels = nn.functional.interpolate(cells, size=config.size)[:, 0].int().to(device)
    tokens, _ = encoder.module()(image, labels)
    made = generator.module()(labels, tokens)
    return float((made - model.generate(labels, model.encode(image, labels))).abs().max())


def _labels(model: SynthesisModel) -> Tensor:
    device = model.mean_tokens.device
    return torch.zeros(2, *model.config.size, dtype=torch.int32, device=device)


def _export(part: nn.Module, *arguments: Tensor) -> ExportedProgram:
    batch = Dim("batch", min=1, max=MOST_PICTURES)
    shapes = tuple({0: batch} for _ in arguments)
    part.eval()
    with torch.no_grad():
        part(*arguments)  # whatever is asked of the machine only once is asked before tracing
        return torch.export.export(part, arguments, dynamic_shapes=shapes)
