# SPDX-License-Identifier: Apache-2.0
"""What pixels and latents attend to, layer by layer (SCAM paper, Figure 4)."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor

from scam.errors import InputError, quoted
from scam.models.attention_map import AttentionMap
from scam.models.base import SynthesisModel
from scam.models.scam.encoder import SatEncoder
from scam.models.scam.generator import GeneratorBlock
from scam.models.scam.model import Scam, released_generator_sizes
from scam.models.styles import Styles
from scam.nn.attention import SemanticCrossAttention, Watch
from scam.nn.pyramid import pyramid_sizes
from scam.ops import Labels
from scam.ops.layout import plain_labels

_ONE_AT_A_TIME = threading.Lock()  # the modules of a model hold one watch each


def attention_layers(model: SynthesisModel) -> list[str]:
    """``encoder.LEVEL``, fine to coarse, then ``generator.BLOCK.1``, ``.2``, ``.rgb``.

    InputError for a model of another kind, which has no such attention.
    """
    model = _expect_scam(model)
    return [*_encoder_layers(model), *_generator_layers(model)]


@torch.no_grad()
def attention_maps(
    model: SynthesisModel,
    image: Tensor,
    labels: Tensor,
    layers: Collection[str] | None = None,
    styles: Styles | None = None,
) -> dict[str, AttentionMap]:
    """Encode an image, reconstruct it, and return what attended to what.

    image (B, 3, H, W) in [-1, 1], labels (B, H, W), as for ``model.encode``. layers: some of
    :func:`attention_layers`, by default all. styles: to generate with in place of the image's own.
    InputError for a layer that this model does not have.
    """
    model = _expect_scam(model)
    known = attention_layers(model)
    if isinstance(layers, str) or not isinstance(layers, Collection | None):
        raise InputError(f"layers={quoted(layers)}: expected a list, some of {', '.join(known)}")
    for layer in layers or ():
        if layer not in known:
            raise InputError(f"layer {layer!r}: expected some of {', '.join(known)}")
    most = max(model.config.background_latents, model.config.latents_per_label)
    found: dict[str, AttentionMap] = {}
    watched: list[tuple[SemanticCrossAttention, Watch]] = []
    for by_key, modules in ((True, _encoder_layers(model)), (False, _generator_layers(model))):
        for layer, module in modules.items():
            if layers is None or layer in layers:
                watched.append((module, _recorder(found, layer, module, by_key, most)))
    with _ONE_AT_A_TIME, _watching(watched):
        own = model.encode(image, labels)
        model.generate(labels, own if styles is None else styles)
    sizes = _sizes(model)
    return {
        layer: AttentionMap(
            found[layer].labels.unflatten(1, sizes[layer]),
            found[layer].weights.unflatten(1, sizes[layer]),
        )
        for layer in known
        if layer in found
    }


def _expect_scam(model: SynthesisModel) -> Scam:
    if not isinstance(model, Scam):
        kind = model.config.kind if isinstance(model, SynthesisModel) else type(model).__name__
        raise InputError(
            f"a model of kind {kind!r}: expected {Scam.Config.kind!r}, whose "
            "attention can be drawn"
        )
    return model


def _recorder(
    found: dict[str, AttentionMap],
    layer: str,
    module: SemanticCrossAttention,
    by_key: bool,
    most: int,
) -> Watch:
    weigh: Callable[..., Tensor] = module.weights_by_key if by_key else module.weights

    asking = threading.get_ident()

    def record(queries: Tensor, keys: Tensor, query_labels: Labels, key_labels: Labels) -> None:
        if threading.get_ident() != asking:  # the same model at work elsewhere
            return
        weights = weigh(queries, keys, query_labels, key_labels, most).mean(1)
        pixels = plain_labels(key_labels if by_key else query_labels)
        found[layer] = AttentionMap(pixels.expand(len(weights), -1), weights)

    return record


@contextmanager
def _watching(watched: list[tuple[SemanticCrossAttention, Watch]]) -> Iterator[None]:
    for module, watch in watched:
        module.watch = watch
    try:
        yield
    finally:
        for module, _ in watched:
            module.watch = None


def _sizes(model: Scam) -> dict[str, tuple[int, int]]:
    """(h, w) of the pixels of every layer."""
    config = model.config
    levels = pyramid_sizes(*config.size, config.levels)
    generated = (
        released_generator_sizes(*config.size, config.levels) if config.released else levels
    )
    sizes = {}
    for layer in attention_layers(model):
        side, number, *part = layer.split(".")
        if side == "encoder":
            sizes[layer] = levels[int(number) if config.pyramid else 0]
        else:
            sizes[layer] = generated[::-1][int(number) + (part != ["1"])]
    return sizes


def _encoder_layers(model: Scam) -> dict[str, SemanticCrossAttention]:
    encoder = model.encoder
    if not isinstance(encoder, SatEncoder):  # SEAN's has no attention
        return {}
    return {
        f"encoder.{level}": cast(SemanticCrossAttention, layer.attention)
        for level, layer in enumerate(encoder.cross)
    }


def _generator_layers(model: Scam) -> dict[str, SemanticCrossAttention]:
    found = {}
    for number, module in enumerate(model.generator.blocks):
        block = cast(GeneratorBlock, module)
        found[f"generator.{number}.1"] = block.modulation1.attention
        found[f"generator.{number}.2"] = block.modulation2.attention
        if block.rgb_modulation is not None:
            found[f"generator.{number}.rgb"] = block.rgb_modulation.attention
    return found
