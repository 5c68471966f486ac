# SPDX-License-Identifier: Apache-2.0
"""A folder of styles: of one image, the mean of many, and what it holds."""

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import torch
from PIL import Image

from scam.commandline.progress import progress
from scam.data.subset import evenly
from scam.editing.encoded import encode
from scam.editing.latents import mean
from scam.editing.paste import Pixels
from scam.editing.pictures import Picture, label_tensor, to_pixels
from scam.editing.sources import Finder, Folder, leading_words
from scam.editing.styles import SUFFIX, Style, read_style, save_style
from scam.errors import InputError, counted, leading
from scam.models.checkpoint import Checkpoint
from scam.models.styles import Styles
from scam.storage.files import sweep
from scam.storage.outputs import expect_outputs


def add_picture(
    finder: Finder,
    words: Sequence[str],
    name: str | None = None,
    *,
    refine: int = 0,
    overwrite: bool = False,
) -> Style:
    """Keep the latents of one image, see :meth:`Finder.open`, as ``name``, by default its own.

    refine: see :func:`~scam.editing.encoded.encode`.
    InputError if it cannot be opened, or the name is not a file name or is taken.
    """
    with leading_words("picture", words):
        picture = finder.picture(words)
    finder.expect_used()
    path = _free_path(finder, Path(picture.name).stem if name is None else name, overwrite)
    placement = finder.checkpoint.frame.place(picture.photo.shape)
    small = placement.image(Image.fromarray(picture.photo))
    latents = encode(picture, finder.checkpoint, refine, role="donor")
    return _saved(path, finder.checkpoint, latents, picture.name, small, overwrite)


def add_mean(
    finder: Finder,
    data: str,
    name: str = "mean",
    max_pictures: int | None = None,
    *,
    overwrite: bool = False,
) -> Style:
    """Keep the mean latents of a data folder, or of ``max_pictures`` spread evenly over it.

    InputError as for :func:`add_picture`.
    """
    if max_pictures is not None and max_pictures < 1:
        raise InputError("{max_pictures}: expected 1 or more", max_pictures=max_pictures)
    with leading("data", data):
        folder = finder.folder([data])
        if folder is None:
            raise InputError("expected a data folder, or mannequins")
    path = _free_path(finder, name, overwrite)
    every = len(folder.stems)
    stems = [folder.stems[i] for i in evenly(every, max_pictures or every)]
    checkpoint = finder.checkpoint
    model = checkpoint.model
    latents = mean(_encoded(folder, stems, checkpoint), model).to(model.token_labels.device)
    shown = _generated(folder.load(stems[0]), latents, checkpoint)
    source = f"mean of {counted(len(stems), 'image')} of {folder.name}"
    return _saved(path, checkpoint, latents, source, shown, overwrite)


def styles_in(folder: Path) -> Iterator[tuple[str, Style | InputError]]:
    """The names of what a library holds, each with its style or why it cannot be read."""
    names = os.listdir(folder) if os.path.lexists(folder) else []
    for name in sorted(names):
        if fnmatch(name, f"[!.]*{SUFFIX}"):
            path = folder / name
            try:
                yield path.stem, read_style(path)
            except InputError as error:
                yield path.stem, error


def _encoded(folder: Folder, stems: Sequence[str], checkpoint: Checkpoint) -> Iterator[Styles]:
    with progress("mean", len(stems)) as bar:
        for stem in stems:
            yield encode(folder.load(stem), checkpoint)
            bar.update()


@torch.no_grad()
def _generated(picture: Picture, latents: Styles, checkpoint: Checkpoint) -> Pixels:
    model = checkpoint.model
    labels = label_tensor(picture.labels, checkpoint.frame, latents.tokens.device)
    return to_pixels(model.generate(labels, latents, model.fixed_noise())[0])


def _saved(
    path: Path,
    checkpoint: Checkpoint,
    latents: Styles,
    source: str,
    shown: Pixels,
    overwrite: bool,
) -> Style:
    save_style(path, checkpoint.model, latents, source, shown, overwrite=overwrite)
    return read_style(path)


def _free_path(finder: Finder, name: str, overwrite: bool) -> Path:
    if not name or name != Path(name).name or name.startswith(".") or ":" in name:
        raise InputError(
            "{name}: expected a file name without folder, colon or leading dot", name=name
        )
    path: Path = finder.library / f"{name}{SUFFIX}"
    outputs = [("name", name, file) for file in (path, path.with_suffix(".png"))]
    expect_outputs(outputs, finder.inputs, overwrite=overwrite)
    sweep(finder.library)
    return path
