# SPDX-License-Identifier: Apache-2.0
"""From an image with its label map to what generates it under others."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PIL_Image
from torch import Tensor

from scam.checkpoints.weights import CONFIG
from scam.data.arrays import Image
from scam.data.convert import floating, to_uint8
from scam.data.open_picture import index_map
from scam.data.save_picture import pixels_of
from scam.errors import InputError, sized, within
from scam.semia.analogy import Analogy, load
from scam.semia.folder import Method, discard, read_folder, settings_of, write_source
from scam.semia.generator import GeneratorConfig
from scam.semia.options import SemiaOptions
from scam.semia.patches import PatchOptions
from scam.semia.plan import within_seconds
from scam.semia.scales import LEAST_SIDE, resized_image, resized_labels
from scam.semia.task import SemiaTask
from scam.semia.vocabulary import MOST_LABELS, Vocabulary
from scam.training import engine
from scam.training.run_folder import RunFolder


def learn(
    image: Tensor | PIL_Image.Image | Image,
    labels: Tensor | PIL_Image.Image | NDArray[np.integer[Any]],
    method: Method = "patches",
    *,
    out: Path | str | None = None,
    seconds: float | None = None,
    size: int | None = None,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> Analogy:
    """Prepare a source for generation under other label maps.

    Args:
        image: a tensor (3, H, W), uint8 or floating in [-1, 1], an image of PIL, or an array uint8
            RGB (H, W, 3).
        labels: integers (H, W), 0 .. K - 1, at least two of them: a tensor, an array, or an index
            map of PIL.
        method: ``patches`` needs no learning; ``network`` refines patches and takes minutes.
        out: the folder to leave; None: nothing is kept.
        seconds: about how long the network may learn; None: for ``settings['steps']``.
        size: pixels of the longer side to work at; None: those of the image.
        device: to work on.
        say: is told lines of progress.
        settings: those of GeneratorConfig, PatchOptions and SemiaOptions.

    InputError if the arguments make no sense.
    """
    pixels, ids = _source(image, labels)
    vocabulary = Vocabulary("index", tuple(range(int(ids.max()) + 1)))
    with TemporaryDirectory() if out is None else nullcontext(str(out)) as folder:
        place = Path(folder) / "run" if out is None else Path(folder)
        run = start(
            place, pixels, ids, vocabulary, method, size=size, seconds=seconds,
            device=torch.device(device), **settings,
        )  # fmt: skip
        if method == "network":
            train(run, torch.device(device), say=say)
        return load(run.path, device=device)


def start(
    out: Path,
    image: Tensor,
    labels: Tensor,
    vocabulary: Vocabulary,
    method: Method,
    *,
    size: int | None,
    seconds: float | None,
    device: torch.device,
    **settings: Any,
) -> RunFolder:
    """Start the folder of a source: check everything, write settings and source."""
    _expect_method(method, seconds, settings)
    own = (image.shape[1], image.shape[2])
    network = _chosen(GeneratorConfig, settings, num_labels=len(vocabulary))
    patches, options = _chosen(PatchOptions, settings), _chosen(SemiaOptions, settings)
    if settings:
        name = next(iter(settings))
        raise InputError(f"{{{name}}}: is not a setting", **{name: settings[name]})
    scale = 1.0 if size is None else min(1.0, size / max(own))
    working = (max(0, round(own[0] * scale)), max(0, round(own[1] * scale)))
    if min(own) < LEAST_SIDE:
        message = f"{{:image}}: is {sized(own)}, expected {LEAST_SIDE} pixels a side or more"
        raise InputError(message, image=own)
    if min(working) < LEAST_SIDE:
        message = f"{{size}}: leaves {sized(working, order=False)} of {sized(own)}, "
        message += f"expected {LEAST_SIDE} pixels a side or more"
        raise InputError(message, size=size)
    labels = resized_labels(labels.long(), working, len(vocabulary))
    image = to_uint8(resized_image(floating(image), working)) if scale < 1 else image
    sections: dict[str, Any] = {"patches": patches.as_dict()}
    if method == "network":
        sections |= {"network": network.as_dict(), "training": options.as_dict()}
    run = RunFolder.start(out, settings_of(method, vocabulary, own, **sections))
    try:
        if seconds is not None:
            options = within_seconds(image, labels, network, options, patches, seconds, device)
            run.config["training"] = options.as_dict()
            run.store()
        write_source(run, image, labels)
    except BaseException:
        discard(run)
        raise
    return run


def _source(image: Any, labels: Any) -> tuple[Tensor, Tensor]:
    """uint8 (3, H, W) and int64 (H, W). InputError unless something can be learned from them."""
    pixels = torch.tensor(pixels_of(image)).permute(2, 0, 1).contiguous()
    ids = torch.from_numpy(index_map(labels).astype(np.int64))
    if ids.shape != pixels.shape[1:]:
        found, wanted = sized(ids.shape, order=False), sized(pixels.shape[1:])
        raise InputError(f"labels is {found}: expected {wanted}, the size of the image")
    present = ids.unique().tolist()
    if not 0 <= present[0] <= present[-1] < MOST_LABELS:
        message = f"{{labels}}: expected 0 to {MOST_LABELS - 1} at most"
        raise InputError(message, labels=[present[0], present[-1]])
    if len(present) < 2:
        raise InputError("{labels}: expected two labels or more", labels=present)
    return pixels, ids


def _expect_method(method: Method, seconds: float | None, settings: Mapping[str, Any]) -> None:
    """InputError unless the method is one, and can use what else is asked for."""
    if method not in get_args(Method):
        raise InputError("{method}: expected patches or network", method=method)
    learned = {} if seconds is None else {"seconds": seconds}
    for of in (SemiaOptions, GeneratorConfig):
        learned |= {name: settings[name] for name in _of(of, settings)}
    if method == "patches" and learned:
        name, value = next(iter(learned.items()))
        message = f"{{{name}}}: expected {{method}} with it: patches learn nothing"
        raise InputError(message, **{name: value}, method="network")
    if seconds is not None and not 0 < seconds < math.inf:
        raise InputError("{seconds}: expected a number above 0", seconds=seconds)
    if seconds is not None and "steps" in settings:
        message = "{steps}: cannot be given with {:seconds}, which plans them"
        raise InputError(message, steps=settings["steps"], seconds=seconds)


def train(
    run: RunFolder,
    device: torch.device,
    *,
    resume: bool = False,
    previews: Sequence[Tensor] = (),
    say: Callable[[str], None] = print,
    heading: str = "",
) -> Path:
    """Train the network of a folder; the path of its last sheet."""
    stored = read_folder(run.path)
    assert stored.network is not None
    with within(run.path / CONFIG):
        options = SemiaOptions.from_dict(run.config["training"])
    image, labels = floating(stored.image.to(device)), stored.labels.to(device)
    task = SemiaTask(image, labels, stored.network, options, stored.patches, previews)
    return engine.train(task, run, resume=resume, say=say, heading=heading)


def _chosen(of: Any, settings: dict[str, Any], **more: Any) -> Any:
    """The dataclass ``of`` with those of the settings that are its own, which are taken out."""
    return of(**{name: settings.pop(name) for name in _of(of, settings)}, **more)


def _of(of: Any, settings: Mapping[str, Any]) -> list[str]:
    """Names of the settings that are those of ``of`` and do not follow from the data."""
    return [name for name in settings if name in of.settings() and of.settings()[name].flag]
