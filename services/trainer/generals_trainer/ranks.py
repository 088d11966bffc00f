"""Several trainers as one: ranks started by torchrun, joined by torch.distributed.

Gradients are averaged by an explicit all-reduce instead of DistributedDataParallel. That expects a batch of every rank
at every step, and hangs for one without data (no partition, or none of its games yet); here such a rank contributes
nothing, and the sum is over those that have a batch: the gradient of one big batch, of what there is.
"""

import os
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

TIMEOUT = timedelta(seconds=60)
"""A rank that is silent for so long is taken for dead; the others fail, and torchrun starts them anew."""


class Ranks:
    """The process group of this job. All verbs but `close` must be called by all ranks in the same order."""

    def __init__(self, device: torch.device) -> None:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
        self.rank = dist.get_rank()
        self.world = dist.get_world_size()
        self._device = device

    def sums(self, numbers: Sequence[float]) -> list[float]:
        """Each number summed over the ranks. Blocks until all ranks have come here."""
        tensor = torch.tensor(numbers, dtype=torch.float64, device=self._device)
        dist.all_reduce(tensor)
        summed: list[float] = tensor.tolist()
        return summed

    def average(self, gradients: Sequence[Tensor], contributors: int) -> None:
        """Gradients, in place, to their mean over the ranks that contribute; the others bring zeros."""
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= contributors
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def share(self, text: str, source: int) -> str:
        """All ranks get the text of rank `source`; what the others give is not looked at."""
        data = torch.tensor(list(text.encode()), dtype=torch.uint8, device=self._device)
        size = torch.tensor([len(data)], dtype=torch.int64, device=self._device)
        dist.broadcast(size, source)
        if self.rank != source:
            data = torch.zeros(int(size), dtype=torch.uint8, device=self._device)
        dist.broadcast(data, source)
        return bytes(data.tolist()).decode()

    def close(self) -> None:
        dist.destroy_process_group()


def under_torchrun() -> bool:
    """Whether torchrun started this process: as one of several, or as the one that remains of them."""
    return "WORLD_SIZE" in os.environ
