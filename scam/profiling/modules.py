# SPDX-License-Identifier: Apache-2.0
"""What each module of a training step costs: forward and backward time, activations kept."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.hooks import RemovableHandle

from scam.synthesis.step import SynthesisStep

OPTIMIZERS, REST = "optimizers", "rest"
_MARK = "scam."
_NODE = "autograd::engine::evaluate_function"
_STEP = "Optimizer.step"


@dataclass
class ModuleCost:
    """Of one module and everything inside it, in one training step."""

    forward_s: float = 0.0
    backward_s: float = 0.0
    saved_bytes: int = 0


def module_tree(networks: SynthesisStep, depth: int) -> dict[str, nn.Module]:
    """Path -> module, outside in, at most ``depth`` names deep; module lists have no row."""
    tops = {
        **dict(networks.model.named_children()),
        "discriminator": networks.discriminator,
        "perceptual": networks.perceptual,
    }
    return {
        f"{top}.{name}" if name else top: module
        for top, root in tops.items()
        for name, module in root.named_modules()
        if (name.count(".") + 2 if name else 1) <= depth and not isinstance(module, nn.ModuleList)
    }


class Scopes:
    """While open, ``current`` is the path of the innermost module whose forward runs."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._modules = modules
        self._open: list[tuple[str, AbstractContextManager[object]]] = []
        self._handles: list[RemovableHandle] = []

    @property
    def current(self) -> str:
        """``rest`` outside all of them."""
        return self._open[-1][0] if self._open else REST

    def __enter__(self) -> "Scopes":
        for path, module in self._modules.items():
            self._handles.append(module.register_forward_pre_hook(self._entering(path)))
            self._handles.append(module.register_forward_hook(self._leave, always_call=True))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _entering(self, path: str) -> Callable[..., None]:
        def enter(*_: object) -> None:
            range_: AbstractContextManager[object] = record_function(_MARK + path)
            range_.__enter__()
            self._open.append((path, range_))

        return enter

    def _leave(self, *_: object) -> None:
        self._open.pop()[1].__exit__(None, None, None)


@contextmanager
def saved_bytes(scopes: Scopes, own_storages: Iterable[Tensor]) -> Iterator[Counter[str]]:
    """Count what autograd keeps for the backward pass, by the path whose forward saved it.

    Every storage counts once, where it was first saved; ``own_storages`` (parameters, buffers and
    inputs, which stay anyway) never do.
    """
    counted: Counter[str] = Counter()
    held = Counter(t.untyped_storage().data_ptr() for t in own_storages)

    class Kept:
        """Knows when autograd lets go: the allocator then reuses the address."""

        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor
            self.address = tensor.untyped_storage().data_ptr()
            if held[self.address] == 0:
                counted[scopes.current] += tensor.untyped_storage().nbytes()
            held[self.address] += 1

        def __del__(self) -> None:
            held[self.address] -= 1

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        yield counted


def module_times(
    run: Callable[[], object], scopes: Scopes, device: torch.device, trace: str | None = None
) -> dict[str, ModuleCost]:
    """Profile ``run`` under open ``scopes``: path -> time of the module alone.

    Time is the GPU's on a GPU, else the CPU's. The time of a backward operation goes to the
    module whose forward made it; second derivatives likewise. What no module can be charged with
    is under ``rest`` and ``optimizers``.

    Args:
        run: the work, e.g. one training step.
        scopes: names the modules.
        device: that it runs on.
        trace: path to write a Chrome trace to.
    """
    # Read at the first profile: without it, a machine without a GPU driver gets errors on stderr.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities):
        pass  # the first profile of a process pays for starting the profiler
    with profile(activities=activities, acc_events=True) as profiler:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    if trace is not None:
        profiler.export_chrome_trace(trace)
    return _charged(list(profiler.events() or []), device)


def _charged(events: list[FunctionEvent], device: torch.device) -> dict[str, ModuleCost]:
    events = [e for e in events if e.device_type.name == "CPU"]
    events.sort(key=lambda e: (e.time_range.start, -e.time_range.end))
    charge: dict[int, tuple[str, bool]] = {}  # event -> (path, is it backward)
    made_by: dict[tuple[int | None, int], str] = {}  # (thread, sequence number) -> path
    costs: dict[str, ModuleCost] = {}
    for event in events:
        parent = event.cpu_parent
        path, backward = charge.get(id(parent), (REST, False))
        if event.name.startswith(_MARK):
            path = event.name.removeprefix(_MARK)
        elif event.name.startswith(_STEP):
            path = OPTIMIZERS
        elif event.name.startswith(_NODE):
            path, backward = made_by.get((event.fwd_thread, event.sequence_nr), REST), True
        elif event.sequence_nr >= 0 and event.scope == 0:
            # The number is that of the next node: the last forward operation to see it made it.
            made_by[event.thread, event.sequence_nr] = path
        charge[id(event)] = path, backward
        own = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
        cost = costs.setdefault(path, ModuleCost())
        if backward:
            cost.backward_s += own / 1e6
        else:
            cost.forward_s += own / 1e6
    return costs


def summed_up(own: Mapping[str, ModuleCost], paths: Iterable[str]) -> dict[str, ModuleCost]:
    """Costs of modules alone -> costs with everything inside, for every path in ``paths``."""
    totals = {path: ModuleCost() for path in paths}
    for path, cost in own.items():
        for outer in totals:
            if path == outer or path.startswith(f"{outer}."):
                totals[outer].forward_s += cost.forward_s
                totals[outer].backward_s += cost.backward_s
                totals[outer].saved_bytes += cost.saved_bytes
    return totals
