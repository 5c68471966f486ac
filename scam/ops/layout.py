# SPDX-License-Identifier: Apache-2.0
"""Label maps sorted once, for every attention that reads them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from scam.ops.problem import check_integer, check_label_dtype, check_labels
from scam.settings import environment

_LARGEST = 2**31 - 1  # elements and labels are numbered in int32


@dataclass(frozen=True, eq=False)
class SemanticLayout:
    """A label map with the index order that brings equal labels together.

    Accepted by the ops wherever labels are. Made by :meth:`build`; all tensors are int32 and on
    one device. A data loader's ``collate_fn`` builds one of the stacked label maps, since layouts
    themselves are not collated. Pytrees see a container of three tensors.

    Attributes:
        labels: (B, N), ignored elements are -1.
        order: (B, N), element numbers sorted by label, stable, ignored ones last.
        offsets: (B, s + 1), where in ``order`` each label begins; the last entry is where the
            ignored ones begin.
        num_labels: s.
        most: no label has more elements in any of the maps; None: not known. GPU kernels take it
            for granted.
    """

    labels: Tensor
    order: Tensor
    offsets: Tensor
    num_labels: int
    most: int | None = None

    @staticmethod
    def build(labels: Tensor, num_labels: int, most: int | None = None) -> "SemanticLayout":
        """Sort a label map on its device, without waiting for it.

        Args:
            labels: (B, N), (N,) or a map (B, H, W), flattened row by row; uint8, int8, int16,
                int32 or int64. Values outside ``0 .. num_labels - 1`` become ignored (-1).
            num_labels: s, at least 1, below 2^31 - 1; the layout holds B (s + 1) offsets.
            most: no label has more elements in any of the maps, if that is known.

        Raises:
            TypeError: labels of another dtype, numbers that are no integers.
            ValueError: another number of axes; 2^31 elements or more; ``num_labels`` out of
                range; ``most`` negative; under ``SCAM_CHECK=1`` a label >= ``num_labels``, or
                more than ``most`` elements of one.
        """
        num_labels = check_integer("num_labels", num_labels)
        most = None if most is None else check_integer("most", most)
        if most is not None and most < 0:
            raise ValueError(f"most: expected at least 0, got {most}")
        labels = _flattened(labels, num_labels)
        if labels.is_cuda:
            from scam.ops.sorting_library import lay_out
        else:
            from scam.ops.sorting import lay_out
        known, order, offsets = lay_out(labels, num_labels)
        if most is not None:
            _check_most(offsets, most)
        return SemanticLayout(known, order, offsets, num_labels, most)

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return self.labels.device

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "SemanticLayout":
        """The same layout on another device."""
        return self._changed(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "SemanticLayout":
        """The same layout in pinned memory; a data loader with ``pin_memory=True`` calls it."""
        return self._changed(Tensor.pin_memory)

    def _changed(self, change: Callable[[Tensor], Tensor]) -> "SemanticLayout":
        tensors = change(self.labels), change(self.order), change(self.offsets)
        return SemanticLayout(*tensors, self.num_labels, self.most)


_TENSORS = ("labels", "order", "offsets")


def _flatten(layout: SemanticLayout) -> tuple[list[Tensor], list[int | None]]:
    return [getattr(layout, name) for name in _TENSORS], [layout.num_labels, layout.most]


def _flatten_with_keys(layout: SemanticLayout) -> tuple[list[tuple[Any, Tensor]], Any]:
    tensors, numbers = _flatten(layout)
    return list(zip(map(pytree.GetAttrKey, _TENSORS), tensors, strict=True)), numbers


def _unflatten(tensors: Iterable[Any], numbers: Any) -> SemanticLayout:
    return SemanticLayout(*tensors, *numbers)


pytree.register_pytree_node(
    SemanticLayout,
    _flatten,
    _unflatten,
    flatten_with_keys_fn=_flatten_with_keys,
    serialized_type_name="scam.ops.SemanticLayout",
)
torch.serialization.add_safe_globals([SemanticLayout])


Labels = Tensor | SemanticLayout
"""What ops take as labels: a label map, or a layout of one."""


def open_labels(
    name: str,
    labels: Labels,
    batch: int,
    count: int,
    device: torch.device,
    of: str = "query",
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Check the labels of (B, N) elements of ``of``: (B, N), and a layout's order and offsets.

    Raises:
        TypeError, ValueError: as :func:`scam.ops.problem.check_labels`.
    """
    if not isinstance(labels, SemanticLayout):
        check_labels(name, labels, batch, (count,), device, of)
        return labels.expand(batch, count), None, None
    given = labels.labels[0] if labels.labels.shape[0] == 1 else labels.labels
    if given.shape[-1] != count == given.numel():
        rows, width = given.shape
        raise ValueError(
            f"{name}: a layout of {rows} x {width} labels, expected one of 1 x {count}: build it "
            "of one map (H, W) from labels[None]"
        )
    check_labels(name, given, batch, (count,), device, of)
    return (
        labels.labels.expand(batch, count),
        labels.order.expand(batch, count),
        labels.offsets.expand(batch, -1),
    )


def open_labels_of(
    name: str, labels: Labels, items: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """:func:`open_labels` for the labels of ``items`` (B, H, N, D)."""
    return open_labels(name, labels, items.shape[0], items.shape[2], items.device)


def plain_labels(labels: Labels) -> Tensor:
    """The labels themselves, of a layout too."""
    return labels.labels if isinstance(labels, SemanticLayout) else labels


def most_of(labels: Labels) -> int:
    """The most elements of one label, if a layout knows it, else 0."""
    return (labels.most or 0) if isinstance(labels, SemanticLayout) else 0


def _check_most(offsets: Tensor, most: int) -> None:
    """Under ``SCAM_CHECK=1`` ValueError for more than ``most`` elements of a label."""
    if not torch.compiler.is_compiling() and environment.check() and offsets.numel():
        found = int(offsets.diff(dim=1).max())
        if found > most:
            raise ValueError(f"most: found {found} elements of a label, expected at most {most}")


def _flattened(labels: Tensor, num_labels: int) -> Tensor:
    """Checked labels as (B, N)."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels: expected a tensor, got {type(labels).__name__}")
    check_label_dtype("labels", labels)
    if labels.dim() not in (1, 2, 3):
        raise ValueError(
            f"labels: expected shape (B, N), (N,) or (B, H, W), got {tuple(labels.shape)}"
        )
    if not 1 <= num_labels < _LARGEST:
        raise ValueError(f"num_labels: expected 1 to {_LARGEST - 1}, got {num_labels}")
    count = labels.shape[-1] * (labels.shape[1] if labels.dim() == 3 else 1)
    if not torch.compiler.is_compiling() and count > _LARGEST:  # would bind a traced size
        raise ValueError(
            f"labels: expected at most {_LARGEST} elements each, got shape {tuple(labels.shape)}"
        )
    if not torch.compiler.is_compiling() and environment.check() and labels.numel():
        highest = int(labels.max())
        if highest >= num_labels:
            raise ValueError(
                f"labels: found {highest}, expected less than num_labels={num_labels}"
            )
    return labels[None] if labels.dim() == 1 else labels.flatten(1)
