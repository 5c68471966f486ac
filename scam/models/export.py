# SPDX-License-Identifier: Apache-2.0
"""Encoder and generator as ``torch.export`` programs, for use without this package's classes."""

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from scam.errors import InputError
from scam.models.scam.model import Scam
from scam.nn.pyramid import LabelPyramid, grouped
from scam.ops import Labels

MOST_PICTURES = 64
"""Largest batch of an exported program."""


class _Part(nn.Module):
    def __init__(self, model: Scam) -> None:
        super().__init__()
        self.model = model

    def pyramid(self, labels: Tensor) -> LabelPyramid:
        # All labels may occur: a graph cannot depend on those of one batch.
        return self.model.pyramid(labels, tuple(range(self.model.config.num_labels)))

    def groups(self) -> Labels:
        return grouped(self.model.token_labels, self.model.config.num_labels)


class _Encoder(_Part):
    def forward(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        pyramid = self.pyramid(labels)
        tokens = self.model.encoder(image, pyramid, self.groups())
        return tokens, pyramid.present


class _Generator(_Part):
    def forward(self, labels: Tensor, tokens: Tensor) -> Tensor:
        painted: Tensor = self.model.generator(self.pyramid(labels), tokens, self.groups())
        return painted


def export_encoder(model: Scam) -> ExportedProgram:
    """From image (B, 3, H, W) and int32 labels (B, H, W) to tokens (B, m, d) and present (B, L).

    B is free up to ``MOST_PICTURES``; H and W are the model's. The program runs on the model's
    device and contains the label pyramid. A fused model's program calls the operators of
    ``scam.ops``, which has to be imported before it is loaded; ``model.fuse(False)`` first makes
    one that needs nothing but PyTorch, at the paper's dense cost.
    """
    tokens = model.encoder.tokens
    height, width = model.config.size
    image = torch.zeros(2, 3, height, width, dtype=tokens.dtype, device=tokens.device)
    return _export(_Encoder(model), image, _labels(model))


def export_generator(model: Scam) -> ExportedProgram:
    """From int32 labels (B, H, W) and tokens (B, m, d) to the image (B, 3, H, W) in [-1, 1].

    As :func:`export_encoder`. Raises InputError for a model of the released kind, whose
    generator draws noise whenever it paints.
    """
    if model.config.released:
        raise InputError(
            "a model with fidelity='released' draws noise whenever it paints: expected a model "
            "with fidelity='default' to export its generator"
        )
    tokens = model.encoder.tokens.detach().expand(2, -1, -1).clone()
    return _export(_Generator(model), _labels(model), tokens)


def _labels(model: Scam) -> Tensor:
    device = model.encoder.tokens.device
    return torch.zeros(2, *model.config.size, dtype=torch.int32, device=device)


def _export(part: _Part, *arguments: Tensor) -> ExportedProgram:
    batch = Dim("batch", min=1, max=MOST_PICTURES)
    shapes = tuple({0: batch} for _ in arguments)
    part.eval()
    with torch.no_grad():
        part(*arguments)  # whatever is asked of the machine only once is asked before tracing
        return torch.export.export(part, arguments, dynamic_shapes=shapes)
