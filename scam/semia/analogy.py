# SPDX-License-Identifier: Apache-2.0
"""A source that can be generated under other label maps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PIL_Image
from torch import Tensor

from scam.checkpoints.weights import MODEL, expect_tensors, read_weights
from scam.data.convert import floating, to_uint8
from scam.data.open_picture import index_map
from scam.errors import InputError, sized
from scam.semia.folder import Stored, newest_weights, read_folder
from scam.semia.generator import Generator
from scam.semia.patches import PatchMatch, PatchOptions
from scam.semia.scales import LEAST_SIDE, Size, at_scale


class Analogy:
    """Generate ``image`` under other label maps.

    Args:
        image: uint8 (3, H, W), the source at its working size.
        labels: int64 (H, W), 0 .. K - 1.
        num_labels: K.
        patches: how collages are made.
        network: refines them, or generates alone; None: collages are the result.
        own_size: (H, W) of the source before it was resized; None: it was not.
    """

    def __init__(
        self,
        image: Tensor,
        labels: Tensor,
        num_labels: int,
        patches: PatchOptions,
        network: Generator | None = None,
        own_size: Size | None = None,
    ) -> None:
        self.image, self.labels, self.num_labels = image, labels, num_labels
        self.network = network
        self._size = (labels.shape[0], labels.shape[1])
        self._own_size = own_size or self._size
        self._source = floating(image)
        self._matcher: PatchMatch | None = None
        if network is None or network.config.start:
            by_label = network is None or network.config.by_label
            self._matcher = PatchMatch(
                self._source, labels, num_labels, patches, by_label=by_label
            )

    def __call__(
        self,
        labels: Tensor | PIL_Image.Image | NDArray[np.integer[Any]],
        progress: Callable[[float], None] | None = None,
    ) -> Tensor:
        """Integers (H', W') of any size, in the source's labels -> image, uint8 (3, h, w).

        A label map of the working size is taken as it is; others are scaled as the source was.
        progress: is told the share of the work that is done. InputError for labels that the
        source lacks.
        """
        found = torch.from_numpy(index_map(labels).astype(np.int64))
        self._expect_known(found)
        return self.generate(self.working(found), progress)

    def generate(self, target: Tensor, progress: Callable[[float], None] | None = None) -> Tensor:
        """The same of labels (h, w) at the working size, whatever their own."""
        self._expect_known(target)
        if min(target.shape) < LEAST_SIDE:
            message = f"{{:labels}}: {sized(target.shape)} at the working size, "
            message += f"expected {LEAST_SIDE} pixels a side or more"
            raise InputError(message, labels=tuple(target.shape))
        target = target.to(self.labels.device).long()
        start = self._matcher(target, progress) if self._matcher is not None else None
        if self.network is None:
            assert start is not None
            return to_uint8(start.image)
        with torch.no_grad():
            made = self.network(self._source[None], self.labels[None], target[None], start)
        return to_uint8(made.image[0])

    def working(self, labels: Tensor) -> Tensor:
        """labels (H', W') at the working size."""
        labels = labels.to(self.labels.device).long()
        return at_scale(labels, self._size, self._own_size, self.num_labels)

    def _expect_known(self, labels: Tensor) -> None:
        known = torch.unique(self.labels).tolist()
        others = [x for x in torch.unique(labels).tolist() if x not in known]
        if others:
            message = f"{{labels}}: expected labels of the source ({known})"
            raise InputError(message, labels=others)


def load(folder: Path | str, *, device: torch.device | str = "cpu") -> Analogy:
    """What ``python -m scam.semia train`` or :func:`scam.semia.learn` left in a folder."""
    stored = read_folder(Path(folder))
    return opened(stored, torch.device(device))


def opened(stored: Stored, device: torch.device) -> Analogy:
    """The analogy of a folder that was read."""
    network = None
    if stored.network is not None:
        network, step_folder = Generator(stored.network), newest_weights(stored.path)
        tensors, _ = read_weights(step_folder)
        expect_tensors(tensors, network.state_dict(), str(step_folder / MODEL))
        network.load_state_dict(tensors)
        network.to(device).eval().requires_grad_(False)
    return Analogy(
        stored.image.to(device),
        stored.labels.to(device),
        len(stored.vocabulary),
        stored.patches,
        network,
        stored.own_size,
    )
