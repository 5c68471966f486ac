# SPDX-License-Identifier: Apache-2.0
"""From pairs to training batches that depend on a seed and a step, and on nothing else."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from scam.data.arrays import Image, LabelMap
from scam.data.convert import from_uint8
from scam.data.parallel import end_with_owner, usable_cpus
from scam.data.recolour import recolour
from scam.data.source import PairSource, checked_index, checked_size
from scam.data.warp import warp
from scam.errors import InputError, type_of

Key = tuple[int, int] | tuple[int, int, bool]
"""Of a pair: its index, a seed, and whether it may be recoloured (True if left out)."""


class Item(TypedDict):
    """One pair: image float32 (3, H, W) in [-1, 1], labels int32 (H, W) with -1 = no label."""

    image: Tensor
    labels: Tensor
    stem: str


class Batch(TypedDict):
    """B pairs: image float32 (B, 3, H, W) in [-1, 1], labels int32 (B, H, W), B stems."""

    image: Tensor
    labels: Tensor
    stem: list[str]


class PairDataset(Dataset[Item]):
    """A source at one size, as tensors, with or without random changes.

    ``dataset[index, seed]`` may be changed: chance depends on these two only, so that neither
    workers nor earlier items matter. A flip exchanges left and right labels. With a third,
    ``dataset[index, seed, False]``, colours stay. ``dataset[index]`` is never changed.

    size: (H, W). flip: mirror every other image. recolour, warp: chances, 0 .. 1, of
    :func:`~scam.data.recolour.recolour` and :func:`~scam.data.warp.warp`. cache_bytes: decoded
    images stay in memory if all of them fit in so many bytes (each loader worker holds its own
    share of it). InputError for a source or a size that is none.
    """

    def __init__(
        self,
        source: PairSource,
        size: tuple[int, int],
        *,
        flip: bool = False,
        recolour: float = 0.0,
        warp: float = 0.0,
        cache_bytes: int = 1 << 30,
    ) -> None:
        given: Any = source
        if not isinstance(given, PairSource):
            kind = type_of(given)
            raise InputError(f"source is {kind}: expected a PairSource, as FolderPairs is")
        self.source = source
        self.size = checked_size(size)
        self.flip = flip
        self.recolour = recolour
        self.warp = warp
        self.cache_bytes = cache_bytes
        table = source.label_set.flip_table()
        # One slot more, at index -1, so that "no label" maps to itself.
        self._flip_table = np.append(table, np.int32(-1))
        # Label maps are cached in 16 bits unless the ids do not fit.
        self._label_type = np.int16 if len(table) <= 1 << 15 else np.int32
        self._cache: dict[int, tuple[Image, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: Key | int) -> Item:
        index = checked_index(key[0] if isinstance(key, tuple) else key, len(self))
        image, labels = self._load(index)
        if isinstance(key, tuple):
            image, labels = self._changed(image, labels, *key)
        tensors = _tensors(image, labels)
        return {"image": tensors[0], "labels": tensors[1], "stem": self.source.stem(index)}

    def pair(self, index: int) -> tuple[Tensor, Tensor]:
        """Image (3, H, W) in [-1, 1] and labels (H, W) of pair ``index``, never changed.

        IndexError outside 0 .. len - 1, InputError for what is no integer.
        """
        image, labels = self._load(checked_index(index, len(self)))
        return _tensors(image, labels)

    def _changed(
        self, image: Image, labels: LabelMap, index: int, seed: int, recolours: bool = True
    ) -> tuple[Image, LabelMap]:
        """As chance has it: each change has random numbers of its own."""
        key, chance = (seed, index), self.recolour if recolours else 0.0
        if self.flip and np.random.default_rng(key).random() < 0.5:
            image, labels = image[:, ::-1], self._flip_table[labels[:, ::-1]]
        if chance and (random := np.random.default_rng((*key, 1))).random() < chance:
            image = recolour(image, labels, random)
        if self.warp and (random := np.random.default_rng((*key, 2))).random() < self.warp:
            image, labels = warp(image, labels, random)
        return image, labels

    def _load(self, index: int) -> tuple[Image, LabelMap]:
        if index in self._cache:
            return self._cache[index]
        image, labels = self.source.load(index, self.size)
        if self._cache_fits():
            self._cache[index] = image, labels.astype(self._label_type)
        return image, labels

    def _cache_fits(self) -> bool:
        worker = get_worker_info()
        holders = 1 if worker is None else worker.num_workers
        pair_bytes = self.size[0] * self.size[1] * (3 + np.dtype(self._label_type).itemsize)
        return len(self) * pair_bytes * holders <= self.cache_bytes


def _tensors(image: Image, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    return from_uint8(image), torch.from_numpy(labels.astype(np.int32))


def batch_keys(length: int, batch_size: int, *, seed: int, step: int) -> list[tuple[int, int]]:
    """Return the keys of batch ``step``: a pure function of its arguments.

    Epochs are permutations of the ``length`` pairs laid end to end and cut into full batches, so
    a batch may end one epoch and begin the next, or hold several when it is larger than one.
    """
    keys: list[tuple[int, int]] = []
    position = step * batch_size
    while len(keys) < batch_size:
        epoch, offset = divmod(position + len(keys), length)
        stream = np.random.default_rng((seed, epoch))
        chance = int(stream.integers(1 << 62))
        order = stream.permutation(length)[offset : offset + batch_size - len(keys)]
        keys += [(int(index), chance) for index in order]
    return keys


def batches(
    dataset: PairDataset,
    batch_size: int,
    *,
    seed: int,
    start_step: int = 0,
    recolour_steps: int | None = None,
    workers: int = 0,
    places: Sequence[int] | None = None,
    pin: bool = False,
) -> Iterator[Batch]:
    """Yield full batches for ever, from step ``start_step`` on.

    ``recolour_steps``: after so many steps of the run colours stay; None: never. ``places``: of a
    batch's images only those, for one of several processes; None: all. ``pin``: into page-locked
    memory, which a GPU reads while the CPU works on; needs one.

    Batch t depends on (seed, t) only: resuming equals never having stopped, and any number of
    workers (0: this process) gives the same batches in the same order. torch's own random state
    is left alone. ValueError for a batch size below 1 or a negative seed, step or worker count;
    InputError, in one line, when it comes to a pair that cannot be used.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, expected 1 or more")
    for name, value in (("seed", seed), ("start_step", start_step), ("workers", workers)):
        if value < 0:
            raise ValueError(f"{name} is {value}, expected 0 or more")
    places = range(batch_size) if places is None else places

    def keys_of(step: int) -> list[Key]:
        keys = batch_keys(len(dataset), batch_size, seed=seed, step=step)
        recolours = recolour_steps is None or step < recolour_steps
        return [(*keys[i], recolours) for i in places]

    return _load_batches(dataset, map(keys_of, itertools.count(start_step)), workers, pin)


def in_order(
    dataset: PairDataset,
    batch_size: int,
    indices: Iterable[int] | None = None,
    workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (B, 3, H, W) and label maps (B, H, W) of pairs in the order given, unchanged.

    indices: which pairs, all by default; B is ``batch_size`` but for the last batch. workers:
    processes that read them (0: this one). InputError for a pair that cannot be used.
    """
    wanted = list(range(len(dataset)) if indices is None else indices)
    parts = [wanted[start : start + batch_size] for start in range(0, len(wanted), batch_size)]
    for batch in _load_batches(dataset, parts, min(workers, len(parts))):
        yield batch["image"], batch["labels"]


def _load_batches(
    dataset: PairDataset, keys: Iterable[Sequence[Key | int]], workers: int, pin: bool = False
) -> Iterator[Batch]:
    read = _Reader(dataset)
    found: Iterable[Batch | InputError] = map(read.__getitem__, keys)
    if workers > 0:
        # Its own generator: without one the loader draws a seed from torch's global state.
        found = DataLoader(
            read,
            batch_size=None,
            sampler=keys,
            num_workers=min(workers, usable_cpus()),  # more would only wait for each other
            pin_memory=pin,
            generator=torch.Generator(),
            worker_init_fn=_obey_owner_only,
        )
    for batch in found:
        if isinstance(batch, InputError):
            raise batch
        yield _pinned(batch) if pin and workers == 0 else batch


class _Reader(Dataset[Batch | InputError]):
    """Whole batches. What a user did wrong is returned: raised in a worker, the loader would
    bury it in a traceback."""

    def __init__(self, dataset: PairDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, keys: Sequence[Key | int]) -> Batch | InputError:
        try:
            batch: Batch = default_collate([self._dataset[key] for key in keys])
        except InputError as error:
            return error
        return batch


def _pinned(batch: Batch) -> Batch:
    image, labels = batch["image"].pin_memory(), batch["labels"].pin_memory()
    return {"image": image, "labels": labels, "stem": batch["stem"]}


def _obey_owner_only(worker: int) -> None:
    """Let a worker end by the SIGTERM of the process it works for, or with it, and by no other.

    A cluster sends SIGTERM to every process of a job, a terminal sends Ctrl-C to all, and the main
    process, which saves before it leaves, needs its workers until then. Without sigwaitinfo
    (macOS) they end by any SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    owner = multiprocessing.parent_process()  # os.getppid() may be a fork server
    if owner is not None and hasattr(signal, "sigwaitinfo"):
        # Before any thread starts: one that does not block the signal would be handed it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_await_sigterm, args=(owner.pid,), daemon=True).start()
    end_with_owner()


def _await_sigterm(owner: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != owner:
        pass
    os._exit(0)
