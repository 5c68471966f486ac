# SPDX-License-Identifier: Apache-2.0
"""From a picture with its label map to what generates it under others."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from scam.data.convert import to_uint8
from scam.errors import InputError
from scam.semia.analogy import Analogy, load
from scam.semia.folder import Method, read_folder, settings_of, write_source
from scam.semia.generator import GeneratorConfig
from scam.semia.options import SemiaOptions
from scam.semia.patches import PatchOptions
from scam.semia.scales import resized_image, resized_labels
from scam.semia.task import SemiaTask, seconds_of
from scam.semia.vocabulary import Vocabulary
from scam.training import engine
from scam.training.run_folder import RunFolder

_LEAST_STEPS = 20


def learn(
    image: Tensor,
    labels: Tensor,
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
        image: uint8 (3, H, W).
        labels: integers (H, W), 0 .. K - 1, at least two of them.
        method: ``patches`` needs no learning; ``network`` refines patches and takes minutes.
        out: the folder to leave; None: nothing is kept.
        seconds: about how long the network may learn; None: for ``settings['steps']``.
        size: pixels of the longer side to work at; None: those of the image.
        device: to work on.
        say: is told lines of progress.
        settings: those of GeneratorConfig, PatchOptions and SemiaOptions.

    InputError if the arguments make no sense.
    """
    count = int(labels.max()) + 1
    vocabulary = Vocabulary("index", tuple(range(count)))
    with TemporaryDirectory() if out is None else nullcontext(str(out)) as folder:
        place = Path(folder) / "run" if out is None else Path(folder)
        run = start(
            place, image, labels, vocabulary, method, size=size, seconds=seconds,
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
    if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != 3:
        raise InputError("{image}: expected uint8 (3, H, W)", image=tuple(image.shape))
    if labels.shape != image.shape[1:]:
        message = f"{{labels}}: expected {tuple(image.shape[1:])}, the size of the image"
        raise InputError(message, labels=tuple(labels.shape))
    if len(torch.unique(labels)) < 2:
        raise InputError("{labels}: expected two labels or more", labels=labels.unique().tolist())
    own = (image.shape[1], image.shape[2])
    network = _chosen(GeneratorConfig, settings, num_labels=len(vocabulary))
    patches, options = _chosen(PatchOptions, settings), _chosen(SemiaOptions, settings)
    if settings:
        name = next(iter(settings))
        raise InputError(f"{{{name}}}: is no setting", **{name: settings[name]})
    scale = 1.0 if size is None else min(1.0, size / max(own))
    working = (max(1, round(own[0] * scale)), max(1, round(own[1] * scale)))
    labels = resized_labels(labels.long(), working, len(vocabulary))
    image = to_uint8(resized_image(image.float() / 127.5 - 1, working)) if scale < 1 else image
    sections: dict[str, Any] = {"patches": patches.as_dict()}
    if method == "network":
        if seconds is not None:
            options = within_seconds(image, labels, network, options, patches, seconds, device)
        sections |= {"network": network.as_dict(), "training": options.as_dict()}
    run = RunFolder.start(out, settings_of(method, vocabulary, own, **sections))
    write_source(run, image, labels)
    return run


def within_seconds(
    image: Tensor,
    labels: Tensor,
    network: GeneratorConfig,
    options: SemiaOptions,
    patches: PatchOptions,
    seconds: float,
    device: torch.device,
) -> SemiaOptions:
    """As many steps and pairs as fit into ``seconds``, as measured on a few."""
    begun = SemiaTask(_floating(image, device), labels.to(device), network, options, patches)
    step, pair = seconds_of(begun)
    # A tenth for pairs; half as many steps as that leaves are taken up by sheets and checkpoints
    # only in runs of seconds.
    pairs = max(4, min(options.pairs, int(seconds / 10 / max(pair, 1e-6))))
    steps = max(_LEAST_STEPS, int((0.9 * seconds - pairs * pair) / step))
    every = max(10, steps // 5)
    return replace(
        options, steps=steps, pairs=pairs, eval_every=every, sample_every=every, save_every=every
    )


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
    task = SemiaTask(
        _floating(stored.image, device),
        stored.labels.to(device),
        GeneratorConfig.from_dict(run.config["network"]),
        SemiaOptions.from_dict(run.config["training"]),
        PatchOptions.from_dict(run.config["patches"]),
        previews,
    )
    return engine.train(task, run, resume=resume, say=say, heading=heading)


def _chosen(of: Any, settings: dict[str, Any], **more: Any) -> Any:
    """The dataclass ``of`` with those of the settings that are its own, which are taken out."""
    own = {name: settings.pop(name) for name in list(settings) if name in of.settings()}
    return of(**own, **more)


def _floating(image: Tensor, device: torch.device) -> Tensor:
    return image.to(device).float() / 127.5 - 1
