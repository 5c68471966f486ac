# SPDX-License-Identifier: Apache-2.0
"""Styles: the latents of one image, or the mean of many, saved in a file for one model."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from scam.checkpoints.weights import expect_finite, state_digest
from scam.data.picture import read_image
from scam.editing.paste import Pixels
from scam.editing.pictures import resized
from scam.errors import InputError, printable
from scam.models import SynthesisModel
from scam.models.config import FIRST_KIND
from scam.models.styles import Styles
from scam.storage.files import checked_path, write_aside
from scam.storage.reading import expect_file, parse_json
from scam.version import __version__

FORMAT = "scam style 1"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Style:
    """Styles of one image (1, m, d), what its labels are called and where it came from.

    kind, model: of the model, and its :func:`fingerprint`.
    """

    latents: Styles
    label_names: tuple[str, ...]
    source: str
    kind: str
    model: str
    path: Path

    @property
    def name(self) -> str:
        """Of the file, without its extension."""
        return self.path.stem

    @property
    def labels(self) -> list[str]:
        """Names of the labels that it holds."""
        held = self.latents.present[0].tolist()
        return [name for name, holds in zip(self.label_names, held, strict=True) if holds]

    def thumbnail(self, size: tuple[int, int]) -> Pixels | None:
        """The PNG beside it at ``size`` = (H, W), if there is one."""
        picture = self.path.with_suffix(".png")
        if not picture.is_file():
            return None
        photo = np.asarray(read_image(picture)[0])
        return resized(photo, size, Image.Resampling.BILINEAR)


def fingerprint(model: SynthesisModel) -> str:
    """16 hexadecimal digits that change with any weight of the networks.

    Styles are meaningful only to the weights they come from: one more training step makes
    another model.
    """
    means = ("mean_tokens", "mean_known")
    state = {name: x for name, x in model.state_dict().items() if name not in means}
    return state_digest(state, json.dumps(model.config.identity))


def save_style(
    path: str | Path,
    model: SynthesisModel,
    latents: Styles,
    source: str,
    thumbnail: Pixels | None = None,
    *,
    overwrite: bool = True,
) -> None:
    """Write latents of one image (1, m, d) to ``path`` and a PNG beside it.

    source: where they come from, for people to read. Both files are whole or absent. ValueError
    for latents of several images or of another shape than the model's; InputError if the name
    does not end in .safetensors, the disk refuses, or latents are not finite.
    """
    path = checked_path(path, "style")
    if path.suffix != SUFFIX:
        raise InputError(f"style {path}: expected a {SUFFIX} file")
    if latents.tokens.shape[1:] != model.mean_tokens.shape or len(latents) != 1:
        raise ValueError(
            f"latents have shape {tuple(latents.tokens.shape)}, "
            f"expected {(1, *model.mean_tokens.shape)}"
        )
    expect_finite(latents.tokens, f"style {path}: latents")
    tensors: dict[str, Tensor] = {
        "tokens": latents.tokens[0].float().cpu().contiguous(),
        "present": latents.present[0].cpu().contiguous(),
    }
    about = {
        "format": FORMAT,
        "model": fingerprint(model),
        "label_names": json.dumps(model.label_names),
        "kind": model.config.kind,
        "token_labels": json.dumps(model.token_labels.tolist()),
        "source": printable(source),
        "scam": __version__,
    }
    if thumbnail is not None:
        with write_aside(path.with_suffix(".png"), overwrite=overwrite) as file:
            Image.fromarray(thumbnail).save(file, format="PNG")
    with write_aside(path, overwrite=overwrite) as file:
        file.write(save(tensors, metadata=about))


def read_style(path: str | Path) -> Style:
    """Read a style of any model, on the CPU. InputError if the file is none or is damaged."""
    path = checked_path(path, "style")
    try:
        # safe_open opens no path that is not UTF-8.
        expect_file(path)
        data = path.read_bytes()
        tensors = load(data)
        header = data[8 : 8 + int.from_bytes(data[:8], "little")]
        about = json.loads(header).get("__metadata__", {})
    except FileNotFoundError as error:
        raise InputError(f"{path}: cannot be read (no such file)") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except SafetensorError as error:
        raise InputError(f"{path}: is damaged or no {SUFFIX} file ({error})") from error
    if about.get("format") != FORMAT:
        found = about.get("format", "no format")
        raise InputError(f"{path}: is not a style, found {found!r}, expected {FORMAT!r}")
    try:
        names = tuple(parse_json(about["label_names"], "label_names"))
        latents = Styles(tensors["tokens"][None], tensors["present"][None].bool())
        kind = about.get("kind", FIRST_KIND)
        style = Style(latents, names, about["source"], kind, about["model"], path)
        if latents.tokens.dim() != 3 or latents.present.shape != (1, len(names)):
            raise ValueError(f"tensors of shapes {[tuple(x.shape) for x in tensors.values()]}")
        if not tensors["tokens"].is_floating_point() or not latents.tokens.isfinite().all():
            raise ValueError("tokens that are not finite")
        if not all(isinstance(name, str) for name in names):
            raise ValueError("label_names that are not names")
    except (KeyError, ValueError, TypeError, RuntimeError, RecursionError) as error:
        raise InputError(f"{path}: is a damaged style ({error})") from error
    return style


def load_style(path: str | Path, model: SynthesisModel) -> Style:
    """Read a style of ``model``, onto its device.

    InputError if the file is not a style, or one of other weights: its latents would be noise.
    """
    style = read_style(path)
    ours, kind = fingerprint(model), model.config.kind
    if style.kind != kind:
        raise InputError(
            f"{style.path}: is a style of a {printable(style.kind)} model, expected one of a "
            f"{kind} model; make it again from {style.source}"
        )
    if style.model != ours:
        raise InputError(
            f"{style.path}: is a style of another model ({style.model}), expected one of this "
            f"one ({ours}); make it again from {style.source}"
        )
    return replace(style, latents=style.latents.to(model.token_labels.device))
