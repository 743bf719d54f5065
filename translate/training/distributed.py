"""Distributed training: several processes, started by torchrun, each with its part of every batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed

from translate.training.fabric import Fabric


def average_over_processes(fabric: Fabric, tensors: Sequence[Tensor]) -> None:
    """Replace every tensor by its mean over all processes, with one all-reduce per dtype."""
    if fabric.world_size == 1:
        return
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):  # in the same order in all processes
        alike = [tensor for tensor in tensors if tensor.dtype == dtype]
        joined = torch.cat([tensor.flatten() for tensor in alike])
        distributed.all_reduce(joined)
        joined /= fabric.world_size
        for tensor, part in zip(alike, joined.split([tensor.numel() for tensor in alike]), strict=True):
            tensor.copy_(part.view_as(tensor))


def broadcast_from_first(fabric: Fabric, tensors: Sequence[Tensor]) -> None:
    """Replace every tensor by that of the first process."""
    if fabric.world_size > 1:
        for tensor in tensors:
            sent = tensor.contiguous()
            distributed.broadcast(sent, src=0)
            tensor.copy_(sent)


class Agreement:
    """Makes all processes follow the first one: when to stop, and how much time is used.

    Clocks and signals differ between processes, and if one stopped alone, the others would hang. Communicates over the
    CPU, so that no GPU has to synchronise.
    """

    def __init__(self, fabric: Fabric):
        self._group: Any = distributed.new_group(backend="gloo") if fabric.world_size > 1 else None

    def on(self, *numbers: float) -> tuple[float, ...]:
        """The `numbers` of the first process, in all processes."""
        if self._group is None:
            return numbers
        sent = torch.tensor([0.0, *numbers], dtype=torch.float64)  # never empty
        distributed.broadcast(sent, src=0, group=self._group)
        return tuple(sent.tolist()[1:])
