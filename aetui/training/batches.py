"""Mini-batches in an order that depends on the seed alone."""

import torch
from torch import Tensor, nn

from aetui.training.lengths import steps_per_epoch


def least_rows(model: nn.Module) -> int:
    """Rows of the smallest batch that a model takes in training: batch normalization needs two."""
    norms = nn.modules.batchnorm._BatchNorm
    return 2 if any(isinstance(module, norms) for module in model.modules()) else 1


class BatchOrder:
    """Endless mini-batches of the rows of `data` [n, features], shuffled anew each epoch.

    The last batch of an epoch may be smaller; one of fewer rows than `least` is left out. A batch size
    of 0, or of at least n, yields the data itself, in its own order.
    """

    BLOCK = 8 * 2**20
    """Bytes of rows that are gathered at once: one gather per many steps, little extra memory."""

    def __init__(self, data: Tensor, batch_size: int, generator: torch.Generator, least: int = 1) -> None:
        self.data, self.rows = data, len(data)
        self.generator = generator
        self.least = least
        self.order: Tensor | None = None
        self.ready: list[Tensor] = []
        self.batch_size = batch_size
        self.taken = 0
        """Rows taken since the start, over all epochs."""
        self.position = self.rows
        """Rows of this epoch that were taken."""
        self.block = 0
        """The position at which the present block was gathered."""

    @property
    def size(self) -> int:
        return min(self.batch_size or self.rows, self.rows)

    def resize(self, batch_size: int) -> None:
        """Use another batch size from the next batch on; the epoch goes on at the next row."""
        self.batch_size = batch_size
        self.ready = []

    def next(self) -> Tensor:
        """The next batch, [batch, features], on the data's device."""
        size = self.size
        if size == self.rows:
            self.position = size
            self.taken += size
            return self.data
        if not self.ready:
            self.gather(size)
        batch = self.ready.pop()
        self.position += len(batch)
        self.taken += len(batch)
        return batch

    def gather(self, size: int) -> None:
        if self.order is None or self.rows - self.position < self.least:
            # Drawn on the host, so that the order is the same on every device; pinned, the copy does not wait.
            cuda = self.data.is_cuda
            order = torch.randperm(self.rows, generator=self.generator, pin_memory=cuda)
            self.order = order.to(self.data.device, non_blocking=cuda)
            self.position = 0
        self.block = self.position
        row_bytes = self.data.shape[1] * self.data.element_size()
        taken = size * max(1, self.BLOCK // max(1, row_bytes * size))
        block = self.data.index_select(0, self.order[self.position : self.position + taken])
        self.ready = [part for part in block.split(size) if len(part) >= self.least][::-1]


class Batches(BatchOrder):
    """The same, with where in it a run stands."""

    @property
    def epoch(self) -> float:
        return self.taken / self.rows

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(self.rows, self.batch_size, self.least)

    def state(self) -> tuple[Tensor | None, dict[str, int]]:
        """The order of this epoch's rows, shape (n,), None before the first, and where in it the batches are."""
        where = {"taken": self.taken, "position": self.position, "batch_size": self.batch_size}
        return self.order, where | ({"block": self.block} if self.ready else {})

    def restore(self, order: Tensor | None, where: dict[str, int]) -> None:
        """Go on where `state` was taken; the generator is restored by its owner."""
        self.order = None if order is None else order.to(self.data.device)
        self.resize(where["batch_size"])
        self.taken, self.position = where["taken"], where.get("block", where["position"])
        if self.position < where["position"]:
            # The same block again, since a sum may be rounded otherwise where rows lie elsewhere in memory.
            self.gather(self.size)
            while self.position < where["position"]:
                self.position += len(self.ready.pop())
