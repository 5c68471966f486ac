# SPDX-License-Identifier: Apache-2.0
"""Encoder and generator as ``torch.export`` programs, for use without this package's classes."""

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from scam.errors import InputError
from scam.models.base import SynthesisModel
from scam.models.styles import Styles

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
        raise InputError(
            "a model with fidelity='released' draws noise whenever it paints: expected a model "
            "with fidelity='default' to export its generator"
        )
    tokens = model.mean_tokens.expand(2, -1, -1).clone()
    return _export(_Generator(model), _labels(model), tokens)


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
