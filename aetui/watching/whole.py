"""A step watched without anybody saying what its data are, and what in it depends on what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from aetui.diagnosis.touched import DATA, WEIGHTS, Touch, tensors_in


class Whole(Touch):
    """As `Touch`, where nobody says what the data are: all that was there before the forward and is no part of a model.

    Tensors of one number, such as a factor, are not data.
    """

    def __init__(self) -> None:
        super().__init__((), ())
        self.own: set[int] = set()
        """Buffers of modules, by id."""
        self._written: dict[int, list[Tensor]] = {}
        """What was written into a tensor in place."""

    def depends(self, tensor: Tensor) -> int:
        found = self._flags.get(id(tensor))
        if found is not None:
            return found
        if isinstance(tensor, nn.Parameter):
            return WEIGHTS
        return DATA if tensor.ndim and not tensor.requires_grad and id(tensor) not in self.own else 0

    def _note(self, name: str, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        first = args[0] if args else None
        if isinstance(first, Tensor) and (result is first or name == "setitem"):
            self._kept.append(args)
            self._written.setdefault(id(first), []).extend(tensors_in((args[1:], kwargs)))
        super()._note(name, func, args, kwargs, result)

    def sources(self, tensors: Iterable[Tensor]) -> set[int] | None:
        """All that these were computed from, by id; None where a part of the way was not seen."""
        found: set[int] = set()
        waiting = list(tensors)
        while waiting:
            one = waiting.pop()
            if id(one) in found:
                continue
            found.add(id(one))
            record = self.records.get(id(one))
            if record is not None:
                waiting += record.tensors
            elif one.grad_fn is not None:
                # Made by a function of the script's own, which no function mode sees.
                return None
            waiting += self._written.get(id(one), ())
        return found
