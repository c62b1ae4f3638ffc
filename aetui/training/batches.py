"""Mini-batches in an order that depends on the seed alone."""

import torch
from torch import Tensor

_BLOCK_BYTES = 8 * 2**20
"""Rows are gathered in blocks of this size: one gather per many steps, little extra memory."""


class Batches:
    """Endless mini-batches of the rows of `data` [n, features], shuffled anew each epoch.

    The last batch of an epoch may be smaller. A batch size of 0, or of at least n, yields the
    data itself, in its own order. The batch size may change between any two batches; the epoch
    goes on at the next row.
    """

    def __init__(self, data: Tensor, batch_size: int, generator: torch.Generator, least: int = 1) -> None:
        """Yield batches of at least `least` rows; a smaller rest of an epoch is left out."""
        self._data = data
        self._rows = len(data)
        self.generator = generator
        self._least = least
        self._order: Tensor | None = None
        self._ready: list[Tensor] = []
        self.batch_size = batch_size
        self.taken = 0
        """Rows taken since the start, over all epochs."""
        self._position = self._rows
        """Rows of this epoch that were taken."""
        self._block = 0
        """The position at which the present block was gathered."""

    @property
    def epoch(self) -> float:
        return self.taken / self._rows

    @property
    def steps_per_epoch(self) -> int:
        size = self._size
        full, rest = divmod(self._rows, size)
        return full + (rest >= self._least)

    @property
    def _size(self) -> int:
        return min(self.batch_size or self._rows, self._rows)

    def resize(self, batch_size: int) -> None:
        """Use another batch size from the next batch on."""
        self.batch_size = batch_size
        self._ready = []

    def state(self) -> tuple[Tensor | None, dict[str, int]]:
        """The order of this epoch's rows, shape (n,), None before the first, and where in it the batches are."""
        where = {"taken": self.taken, "position": self._position, "batch_size": self.batch_size}
        return self._order, where | ({"block": self._block} if self._ready else {})

    def restore(self, order: Tensor | None, where: dict[str, int]) -> None:
        """Go on where `state` was taken; the generator is restored by its owner."""
        self._order = None if order is None else order.to(self._data.device)
        self.resize(where["batch_size"])
        self.taken, self._position = where["taken"], where.get("block", where["position"])
        if self._position < where["position"]:
            # The same block again, since a sum may be rounded otherwise where rows lie elsewhere in memory.
            self._gather(self._size)
            while self._position < where["position"]:
                self._position += len(self._ready.pop())

    def next(self) -> Tensor:
        """The next batch, [batch, features], on the data's device."""
        size = self._size
        if size == self._rows:
            self._position = self._rows
            self.taken += size
            return self._data
        if not self._ready:
            self._gather(size)
        batch = self._ready.pop()
        self._position += len(batch)
        self.taken += len(batch)
        return batch

    def _gather(self, size: int) -> None:
        if self._order is None or self._rows - self._position < self._least:
            # Drawn on the host, so that the order is the same on every device.
            self._order = torch.randperm(self._rows, generator=self.generator).to(self._data.device)
            self._position = 0
        self._block = self._position
        row_bytes = self._data.shape[1] * self._data.element_size()
        rows = size * max(1, _BLOCK_BYTES // max(1, row_bytes * size))
        block = self._data.index_select(0, self._order[self._position : self._position + rows])
        self._ready = [part for part in block.split(size) if len(part) >= self._least][::-1]
