# SPDX-License-Identifier: Apache-2.0
"""What a model's methods are handed, checked by the argument's name before they compute."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PIL_Image
from torch import Tensor

from scam.checkpoints.weights import expect_finite
from scam.data.convert import expect_pixels, floating, from_uint8
from scam.data.open_picture import index_map, read_photograph
from scam.errors import InputError, counted, sized, type_of
from scam.models.config import ModelConfig
from scam.models.styles import Styles, expect_styles
from scam.nn.pyramid import LabelPyramid, labels_in
from scam.ops.problem import LABEL_DTYPES, expected_label_dtype

ImageLike = Tensor | PIL_Image.Image | NDArray[np.uint8]
"""A tensor (B, 3, H, W) or (3, H, W), floating in [-1, 1] or uint8; an image of PIL; an array
uint8 RGB (H, W, 3)."""
LabelMapLike = Tensor | PIL_Image.Image | NDArray[np.integer[Any]]
"""Labels 0 .. L - 1, below 0 for none: integers (B, H, W) or (H, W), or an index map of PIL."""


def checked_image(
    image: Any, config: ModelConfig, weight: Tensor, name: str = "image", *, values: bool = True
) -> Tensor:
    """``image`` (B, 3, H, W) or (3, H, W) as the former. InputError if it is no such image.

    An image of PIL, an array uint8 (H, W, 3) and a tensor uint8 become floating. Without
    ``values`` a GPU is not waited for, and any number passes.
    """
    if isinstance(image, PIL_Image.Image | np.ndarray):
        photo, _ = read_photograph(image, name)
        image, values = from_uint8(np.asarray(photo)).to(weight), False
    expected = "a tensor (B, 3, H, W) or (3, H, W), floating in [-1, 1] or uint8"
    others = ", a PIL image or an array uint8 (H, W, 3); open_picture reads files"
    image = _tensor(image, name, expected, weight, others)
    if image.dtype == torch.uint8:
        image, values = floating(image).to(weight), False
    if not image.is_floating_point():
        raise InputError(f"{name} has dtype {image.dtype}: expected {expected}")
    cast = torch.is_autocast_enabled(weight.device.type)
    if image.dtype != weight.dtype and (not cast or image.dtype == torch.float64):
        raise InputError(f"{name} has dtype {image.dtype}: expected the model's, {weight.dtype}")
    if image.dim() not in (3, 4) or image.shape[-3] != 3:
        channels = " (an image with alpha? take its first three)" if 4 in image.shape[-3:] else ""
        if image.dim() in (3, 4) and image.shape[-1] == 3:
            channels = " (channels last? give x.movedim(-1, -3))"
        raise InputError(
            f"{name} has shape {tuple(image.shape)}: expected (B, 3, H, W) or (3, H, W){channels}"
        )
    image = image.unsqueeze(0) if image.dim() == 3 else image
    _expect_size(name, image, config)
    if values and _values_can_be_asked():
        expect_pixels(image, name)
    return image


def checked_labels(
    labels: Any, config: ModelConfig, weight: Tensor, name: str = "labels", *, values: bool = True
) -> Tensor:
    """``labels`` (B, H, W) or (H, W) as the former. InputError if they are no such label map.

    An index map of PIL or an array becomes one. Without ``values`` a GPU is not waited for, and
    labels may be too high.
    """
    if isinstance(labels, PIL_Image.Image | np.ndarray):
        labels = torch.from_numpy(index_map(labels, name).astype(np.int64)).to(weight.device)
    expected = "an integer tensor (B, H, W) or (H, W)"
    others = ", integers (H, W) in an array, or an index map of PIL; open_picture reads files"
    labels = _tensor(labels, name, expected, weight, others)
    if labels.dtype not in LABEL_DTYPES:
        wanted = expected_label_dtype(labels.dtype)
        raise InputError(f"{name} has dtype {labels.dtype}: expected an integer tensor, {wanted}")
    labels = labels.unsqueeze(0) if labels.dim() == 2 else labels
    if labels.dim() != 3:
        raise InputError(f"{name} has shape {tuple(labels.shape)}: expected (B, H, W) or (H, W)")
    _expect_size(name, labels, config)
    if values and _values_can_be_asked():
        highest = int(labels.amax())
        if highest >= config.num_labels:
            raise InputError(
                f"{name} holds {highest}: expected 0 to {config.num_labels - 1}, "
                "or below 0 for none"
            )
    return labels


def checked_occurring(
    occurring: Sequence[int], labels: Tensor, config: ModelConfig, *, values: bool = True
) -> tuple[int, ...]:
    """``occurring`` in ascending order. InputError for labels that the model does not have, and
    with ``values`` for ``labels`` that hold others.
    """
    chosen = set(occurring)
    if not chosen <= set(range(config.num_labels)):
        raise InputError(
            f"{{occurring}}: expected labels 0 to {config.num_labels - 1}", occurring=occurring
        )
    if values and _values_can_be_asked():
        others = set(labels_in(labels, config.num_labels)) - chosen
        if others:
            raise InputError(
                f"{{occurring}}: expected also {min(others)}, which the maps hold",
                occurring=occurring,
            )
    return tuple(sorted(chosen))


class _Shaped(Protocol):
    """As much of a model as its styles are compared with."""

    config: ModelConfig
    mean_tokens: Tensor


def checked_styles(styles: Any, model: _Shaped, batch: int, name: str = "styles") -> Styles:
    """``styles``. InputError unless they are the model's, of ``batch`` images or of one."""
    weight = model.mean_tokens
    expect_styles(styles, name)
    tokens = _tensor(styles.tokens, f"{name}.tokens", "a tensor", weight)
    present = checked_choice(styles.present, model.config.num_labels, weight, f"{name}.present")
    _expect_rows(f"{name}.tokens", tokens, tuple(weight.shape))
    # A traced graph is for any batch: it may not depend on this one's.
    fits = torch.compiler.is_compiling() or len(present) == len(tokens) in (1, batch)
    if not fits:
        raise InputError(
            f"{name} is of {counted(len(tokens), 'image')}: expected {batch}, one a label map"
        )
    if not tokens.is_floating_point():
        raise InputError(f"{name}.tokens has dtype {tokens.dtype}: expected a floating one")
    if (tokens.dtype == torch.float64) != (weight.dtype == torch.float64):
        raise InputError(
            f"{name}.tokens has dtype {tokens.dtype}: expected the model's, {weight.dtype}"
        )
    if _values_can_be_asked():
        expect_finite(tokens.detach(), f"{name}.tokens")
    return styles


def checked_choice(choice: Any, num_labels: int, weight: Tensor, name: str) -> Tensor:
    """Labels that are chosen, (B, L) bool. InputError for anything else."""
    expected = "a bool tensor (B, L), one column a label"
    choice = _tensor(choice, name, expected, weight)
    if choice.dtype != torch.bool:
        raise InputError(f"{name} has dtype {choice.dtype}: expected {expected}")
    _expect_rows(name, choice, (num_labels,))
    return choice


def checked_pyramid(
    pyramid: Any, sizes: list[tuple[int, int]], num_labels: int, weight: Tensor, name: str
) -> LabelPyramid:
    """``pyramid``. InputError unless it is a model's with levels of ``sizes``."""
    if not isinstance(pyramid, LabelPyramid):
        raise InputError(
            f"{name} is {type_of(pyramid)}: expected label maps (B, H, W), or what prepare() makes"
        )
    checked_choice(pyramid.present, num_labels, weight, f"{name}.present")
    found = [(labels.shape[-2], labels.shape[-1]) for labels in pyramid.maps]
    if found != sizes:
        raise InputError(
            f"{name} has levels of {_sizes(found)}: expected {_sizes(sizes)}, this model's"
        )
    return pyramid


def expect_equal_batch(image: Tensor, labels: Tensor, names: tuple[str, str]) -> None:
    """InputError unless as many images as label maps are given."""
    if image.shape[0] != labels.shape[0]:
        raise InputError(
            f"{names[0]} is of {counted(len(image), 'image')} and {names[1]} of {len(labels)}: "
            "expected as many"
        )


def checked_pair(pair: Any, name: str) -> tuple[Any, Any]:
    """Image and labels. InputError unless ``pair`` is two things."""
    if isinstance(pair, Tensor) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise InputError(
            f"{name} is {type_of(pair)}: expected a pair (image, labels), as open_picture returns"
        )
    return pair[0], pair[1]


def expect_noise(noise: Any) -> None:
    """InputError unless ``noise`` is None, a generator or a sequence of generators."""
    each = [noise] if isinstance(noise, torch.Generator) or noise is None else noise
    one_each = isinstance(each, Sequence) and not isinstance(each, str)
    if not one_each or not all(x is None or isinstance(x, torch.Generator) for x in each):
        raise InputError(
            f"noise is {type_of(noise)}: expected a torch.Generator, or one per image"
        )


def _tensor(value: Any, name: str, expected: str, weight: Tensor, others: str = "") -> Tensor:
    """``value``. InputError unless it is a tensor where the model is.

    others: what else the caller takes.
    """
    if not isinstance(value, Tensor):
        raise InputError(f"{name} is {type_of(value)}: expected {expected}{others}")
    if value.layout != torch.strided:
        raise InputError(f"{name} is sparse: expected {expected}")
    if value.device != weight.device:
        raise InputError(
            f"{name} is on {value.device}: expected {weight.device}, where the model is"
        )
    if value.dim() and not value.numel():
        raise InputError(f"{name} is empty, of shape {tuple(value.shape)}: expected {expected}")
    return value


def _sizes(sizes: Sequence[tuple[int, int]]) -> str:
    return ", ".join(sized(size, order=False) for size in sizes)


def _expect_rows(name: str, x: Tensor, shape: tuple[int, ...]) -> None:
    if x.dim() != 1 + len(shape) or x.shape[1:] != shape:
        raise InputError(
            f"{name} has shape {tuple(x.shape)}: expected (B, {', '.join(map(str, shape))}), "
            "this model's"
        )


def _expect_size(name: str, x: Tensor, config: ModelConfig) -> None:
    if tuple(x.shape[-2:]) != config.size:
        raise InputError(
            f"{name} is {sized(x.shape[-2:], order=False)}: this model generates "
            f"{sized(config.size)}, and its open_picture resizes to that"
        )


def _values_can_be_asked() -> bool:
    """Not while a graph is recorded, which cannot depend on them."""
    if torch.compiler.is_compiling():
        return False
    return not (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing())
