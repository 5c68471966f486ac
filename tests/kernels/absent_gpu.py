# SPDX-License-Identifier: Apache-2.0
"""What a GPU would be asked to do, seen without one: tensors of the device "meta" stand for its.

They have no values, so that whatever would wait for a GPU to read one raises.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from unittest import mock

import pytest
import torch
from launches import INSIDE
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scam.ops import dispatch
from scam.ops.backends import triton as backend
from scam.ops.backends import triton_launch, triton_modulation, triton_plan, triton_pyramid
from scam.synthesis import step as step_module
from scam.training.precision import Precision

DEVICE = torch.device("meta")
_NO_LAUNCH = ("detach", "alias", "lift_fresh")


class Seen(TorchDispatchMode):
    """Operations of PyTorch that compute on the device, inside of our operators too.

    Attributes:
        operations: how many, by name.
        kernels: of ours, likewise.
        keys: by which each of their launches would be known again.
        copied: how often numbers are copied to the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()
        self.keys: set[Any] = set()
        self.copied = 0

    def forget(self) -> None:
        """Count from here on."""
        for seen in (self.operations, self.kernels, self.keys):
            seen.clear()
        self.copied = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in INSIDE:
            with self:
                return INSIDE[func](*args, **kwargs)
        name = func.overloadpacket.__name__
        given = [x.device for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        # The fused optimiser knows GPUs only.
        made = None if name == "_fused_adamw_" else func(*args, **kwargs)
        if DEVICE in given or kwargs.get("device") == DEVICE:
            if not (func.is_view or "empty" in name or name in _NO_LAUNCH):
                self.operations[name] += 1
            self.copied += "copy" in name and torch.device("cpu") in given
        return made

    def launch(
        self, kernel: Any, programs: int, *args: Any, warps: int, stages: int, **tile: Any
    ) -> None:
        """Stands for that of ``triton_launch``."""
        if programs:
            self.kernels[kernel.fn.__name__] += 1
            self.keys.add(triton_launch._key(kernel, warps, stages, args, tile))


@contextlib.contextmanager
def absent_gpu() -> Iterator[Seen]:
    """Tensors of the device "meta" inside are taken for a GPU's; nothing is launched."""
    seen = Seen()
    generators = step_module.picture_generators
    with pytest.MonkeyPatch.context() as patch:
        for module in (backend, triton_plan, triton_modulation, triton_pyramid):
            patch.setattr(module, "launch", seen.launch)
        patch.setattr(triton_plan, "available", lambda tensor: True)
        patch.setattr(dispatch, "_refusals", lambda name, _: () if name == "triton" else ("no",))
        patch.setattr(dispatch, "serving", lambda name, problem: backend)
        on_gpu = property(lambda tensor: tensor.device == DEVICE)
        patch.setattr(torch.Tensor, "is_cuda", on_gpu, raising=False)
        patch.setattr(torch.cuda, "current_device", lambda: 0)
        patch.setattr(torch.cuda, "device_of", lambda tensor: contextlib.nullcontext())
        # What PyTorch knows of kinds of devices: no autocast, no generators, no lists of tensors.
        patch.setattr(Precision, "autocast", lambda *_: contextlib.nullcontext())
        patch.setattr(torch, "is_autocast_enabled", lambda *_: False)
        patch.setattr(
            step_module,
            "picture_generators",
            lambda *facts: generators(*facts[:-1], torch.device("cpu")),
        )
        lists, adam = map(import_module, ("torch.utils._foreach_utils", "torch.optim.adam"))
        patch.setattr(lists, "_get_foreach_kernels_supported_devices", lambda: ["meta"])
        patch.setattr(adam, "_device_dtype_check_for_fused", lambda *_, **__: None)
        yield seen


@contextlib.contextmanager
def built_there() -> Iterator[None]:
    """Modules made inside are on the device."""
    stays = mock.patch.object(torch.nn.Module, "to", lambda module, *_, **__: module)
    with DEVICE, stays:
        yield
