# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one model, as ``torchrun`` starts them.

Every process holds the whole model and an equal share of each batch. Flattened gradients are
averaged between the last backward pass of a step and its optimiser, as in StyleGAN3:
DistributedDataParallel changes the names in state dicts and expects a gradient everywhere.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from scam.errors import InputError, PeerExited, Stopped, first_line

Result = TypeVar("Result")
Network = TypeVar("Network", bound=nn.Module)

_PATIENCE = timedelta(hours=2)  # the others wait while the main process measures and saves


@dataclass(frozen=True)
class World:
    """The processes of a run; by default there is one.

    Methods that speak of all processes must be called by all of them, in the same order; where
    another one has ended they raise :class:`scam.errors.PeerExited`. rank: 0 to size - 1.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and talks."""
        return self.rank == 0

    def share(self, total: int) -> range:
        """Places of this process in a batch of ``total``: every ``size``-th one, so that each
        process has its share of every part when a batch is cut into equal parts.
        """
        return range(self.rank, total, self.size)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of ``values`` over all processes, elementwise; no gradient flows through."""
        values = values.detach()
        return values if self.size == 1 else _reduced(values.clone()) / self.size

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in one of all processes; never waits for a GPU."""
        return flag if self.size == 1 else bool(_reduced(torch.tensor(int(flag)), "MAX"))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make every ``.grad`` its mean over all processes, bit for bit the same in each; None
        counts as zero, and stays where no process has a gradient.
        """
        if self.size == 1:
            return
        parameters = list(parameters)
        given = _reduced(torch.tensor([int(p.grad is not None) for p in parameters]), "MAX")
        gradients = []
        for p, somewhere in zip(parameters, given.tolist(), strict=True):
            if somewhere:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
                gradients.append(p.grad)
        if not gradients:
            return
        total = _reduced(torch.cat([g.flatten() for g in gradients])).div_(self.size)
        parts = total.split([g.numel() for g in gradients])
        means = [part.view(g.shape) for part, g in zip(parts, gradients, strict=True)]
        torch._foreach_copy_(gradients, means)

    def from_main(self, compute: Callable[[], Result]) -> Result:
        """What ``compute`` returns in the main process, which alone calls it; where it raises, the
        others raise :class:`scam.errors.PeerExited`.
        """
        if self.size == 1:
            return compute()
        found: list[Any] = [None, False]
        try:
            if self.is_main:
                found = [compute(), True]
        finally:  # before an error leaves the main process
            with _lost_peers():
                dist.broadcast_object_list(found, src=0, device=torch.device("cpu"))
        if not found[1]:
            raise PeerExited(2)
        return cast(Result, found[0])

    def synchronise_norms(self, network: Network, device: torch.device) -> Network:
        """``network`` with batch normalisation, if it has any, over all processes; InputError on a
        CPU, where PyTorch has none.
        """
        kind = nn.modules.batchnorm._BatchNorm
        if self.size == 1 or not any(isinstance(part, kind) for part in network.modules()):
            return network
        if device.type == "cpu":
            message = "batch normalisation over several processes: expected GPUs, found cpu"
            raise InputError(message)
        return cast(Network, nn.SyncBatchNorm.convert_sync_batchnorm(network))

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """In the block all processes raise the same, or none does; the main one talks about it."""
        try:
            yield
        except (InputError, Stopped) as error:
            if self.is_main:
                raise
            raise PeerExited(error.status if isinstance(error, Stopped) else 2) from None

    def check_equal(self, tensors: Iterable[Tensor]) -> None:
        """Raise InputError unless all processes hold the same bits."""
        if self.size == 1:
            return
        sums = [x.detach().contiguous().view(-1).view(torch.uint8).sum() for x in tensors]
        own = torch.stack(sums).cpu()
        low, high = (_reduced(own.clone(), op) for op in ("MIN", "MAX"))
        if not torch.equal(low, high):
            alike = "machines of one kind with the same versions of scam and torch"
            raise InputError(f"the weights of the {self.size} processes differ: expected {alike}")


SINGLE_PROCESS = World()


@contextmanager
def join(device: torch.device) -> Iterator[tuple[World, torch.device]]:
    """Meet the other processes that ``torchrun`` has started, if any; part at the end.

    Gives the world and this process's device: on GPUs one each. Raises InputError if there are
    fewer GPUs than processes, ``device`` is one certain GPU, or the others cannot be found.
    """
    size = _integer("WORLD_SIZE", 1)
    if size == 1:
        yield SINGLE_PROCESS, device
        return
    backend = "gloo"
    if device.type == "cuda":
        device, backend = _own_gpu(device), "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(backend, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = first_line(error)
        raise InputError(f"torchrun: the processes cannot find each other ({reason})") from error
    try:
        yield World(dist.get_rank(), dist.get_world_size()), device
    except BaseException:
        # gloo parts alone; NCCL would wait for others that might never come.
        if backend == "gloo":
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def _own_gpu(device: torch.device) -> torch.device:
    local, count = _integer("LOCAL_RANK", 0), torch.cuda.device_count()
    if str(device) != "cuda":
        message = "{device}: expected cuda, of which each process takes one"
        raise InputError(message, device=str(device))
    if local >= count:
        wanted = _integer("LOCAL_WORLD_SIZE", local + 1)
        raise InputError(f"torchrun: {wanted} processes here, expected at most {count}, the GPUs")
    return torch.device("cuda", local)


def _integer(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    if not value.isdecimal():
        raise InputError(f"environment variable {name}={value!r}: expected what torchrun sets")
    return int(value)


def _reduced(values: Tensor, op: str = "SUM") -> Tensor:
    """``values`` itself, reduced in place."""
    with _lost_peers():
        dist.all_reduce(values, getattr(dist.ReduceOp, op))
    return values


@contextmanager
def _lost_peers() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # DistBackendError is one
        cause = f"the connection to the other processes broke ({first_line(error)})"
        raise PeerExited(1, cause if dist.get_rank() == 0 else "") from error
