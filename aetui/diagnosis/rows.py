"""Whether the rows of a batch stay apart: one is changed, and the reconstructions of the others are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from aetui.diagnosis.change import Change
from aetui.diagnosis.loop import Loop
from aetui.diagnosis.subject import Subject
from aetui.diagnosis.taken import fitted, judged
from aetui.diagnosis.touched import tensors_in
from aetui.models.base import hooked
from aetui.models.ownstate import unchanged

FEW = 7
"""Rows of the batch that is tried; a size that no other dimension is likely to have."""
MIXED = 1e-5
"""Change of another row's reconstruction, in shares of the largest output, that is more than rounding."""
OF_OWN = 1e-3
"""The same in shares of the change of the row's own reconstruction."""
_STATISTICS = ("mean", "std", "var", "sum", "amax", "amin", "max", "min", "median", "norm", "vector_norm", "logsumexp",
               "std_mean", "var_mean", "quantile", "linalg_norm", "linalg_vector_norm", "aminmax")  # fmt: skip


@dataclass(frozen=True)
class Mixing:
    """A row whose change reaches the reconstruction of another; numbers of rows within the batch."""

    changed: int
    reached: int
    others: int
    """Rows that it reaches."""
    change: float
    """Largest change of an output of the reached row, in shares of the batch's largest output."""
    own: float
    """The same of the changed row itself."""
    rows: int
    """Of the batch."""
    where: str = ""
    """The first module whose output for another row changes."""


@dataclass(frozen=True)
class Separation:
    """How the rows of a batch depend on each other.

    mixing: None where they stay apart. own: largest change of a row's reconstruction with its own input, in shares of
    the batch's largest output. tried: False where no batch could be tried; nothing is then known.
    """

    mixing: Mixing | None = None
    own: float = 0.0
    tried: bool = False


class Apart(TorchFunctionMode):
    """Computes a forward without what rows of a batch share on purpose.

    Batch normalization keeps its scale and shift only, attention of all rows to each other passes on the values, and
    statistics over the batch are those of the first pass, by number of the call.
    """

    def __init__(self, rows: int, known: list[Any] | None = None) -> None:
        super().__init__()
        self._rows, self._known, self.found = rows, known, [] if known is None else known
        self._number = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm:
            return _scaled(*args, **kwargs)
        if func is F.multi_head_attention_forward and self._among_rows(args[0]):
            return args[0], None
        if func is F.scaled_dot_product_attention and args[0].shape == args[2].shape and self._among(args[0].shape):
            return args[2]
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name == "softmax" and isinstance(result, Tensor) and self._weights_of_rows(result):
            return torch.eye(self._rows, dtype=result.dtype, device=result.device).expand(result.shape)
        if name in _STATISTICS and args and self._over_rows(args[0], result):
            number, self._number = self._number, self._number + 1
            if self._known is None:
                self.found.append(result)
            elif number < len(self._known):
                return self._known[number]
        return result

    def _among_rows(self, query: Tensor) -> bool:
        """Whether attention that takes [length, batch, width] is given all rows as one sequence on purpose."""
        return query.shape[0] == self._rows and (query.ndim == 2 or query.shape[1] == 1)

    def _among(self, shape: torch.Size) -> bool:
        return len(shape) > 1 and shape[-2] == self._rows and (len(shape) < 4 or shape[0] == 1)

    def _weights_of_rows(self, weights: Tensor) -> bool:
        return weights.ndim >= 2 and weights.shape[-1] == weights.shape[-2] == self._rows

    def _over_rows(self, given: Any, result: Any) -> bool:
        if not isinstance(given, Tensor) or not given.ndim or len(given) != self._rows:
            return False
        made = list(tensors_in(result))
        return bool(made) and not any(one.ndim and len(one) == self._rows for one in made)


def _scaled(
    given: Tensor, mean: Any = None, var: Any = None, weight: Tensor | None = None, bias: Tensor | None = None, *_: Any,
    **__: Any,
) -> Tensor:  # fmt: skip
    shape = (1, -1, *[1] * (given.ndim - 2))
    scaled = given if weight is None else given * weight.reshape(shape)
    return scaled if bias is None else scaled + bias.reshape(shape)


@dataclass
class _Pass:
    made: Tensor
    wanted: Tensor
    batch: list[Tensor]
    """Tensors of the batch, as they were before the step."""
    statistics: list[Any]
    outputs: list[tuple[str, Tensor]] = field(default_factory=list)
    """What each module returned, in order."""


def measure_rows(subject: Subject) -> Separation:
    """Change rows of a small batch, one at a time, in eval mode and without noise."""
    stepped = subject.stepped
    if stepped is not None and stepped.feed.whole:
        return Separation()
    loop = Loop(subject, Change(silent=True))
    usual = subject.batch_size or subject.rows
    for size in dict.fromkeys((min(FEW, subject.rows - 1), min(usual, subject.rows - 1))):
        if size < 2:
            continue
        try:
            found = _tried(loop, size)
        except Exception:  # noqa: BLE001 - a caller's model may take batches of its own size only
            continue
        if found is not None:
            return found
    return Separation()


def measure_modes(subject: Subject) -> float | None:
    """How far the outputs of train mode differ from those of eval mode, without noise and what a batch shares, in
    standard deviations of the former; None where that can't be told."""
    loop = Loop(subject, Change(silent=True))
    count = min(loop.chunk, max(FEW, subject.least), subject.rows, subject.batch_size or subject.rows)
    rows = torch.arange(count, device=subject.device)
    made: list[Tensor] = []
    try:
        for train in (False, True):
            with loop.looking(train=train), unchanged(loop.model), Apart(count):
                made.append(loop.forward(loop.inputs[rows].clone(), loop.targets[rows]).reconstruction.float())
    except Exception:  # noqa: BLE001 - a caller's model may take batches of its own size only
        return None
    in_eval, in_train = made
    spread = float(in_train.std())
    if in_eval.shape != in_train.shape or not spread:
        return None
    return float((in_train - in_eval).square().mean().sqrt()) / spread


def _tried(loop: Loop, size: int) -> Separation | None:
    """None where a row of the batch can't be changed alone."""
    subject = loop.subject
    numbers = torch.linspace(0, subject.rows - 1, size + 1, device=subject.device).round().long()
    rows, spare = numbers[:size], numbers[size:]
    base = _pass(loop, rows, None)
    again = _pass(loop, rows, base.statistics)
    largest = float(base.made.abs().max())
    if not largest or not bool(torch.isfinite(base.made).all()):
        return None
    rounding = float((again.made - base.made).abs().max()) / largest
    if rounding > MIXED:
        return None
    least = max(MIXED, 20 * rounding)
    own, worst = 0.0, None
    for place in dict.fromkeys((0, size // 2, size - 1)):
        other = rows.clone()
        other[place] = spare[0]
        changed = _pass(loop, other, base.statistics)
        if not _alone(base, changed, place, size):
            return None
        moved = (changed.made - base.made).abs().amax(1) / largest
        kept = (changed.wanted - base.wanted).abs().amax(1) == 0
        own = max(own, float(moved[place]))
        moved_others = torch.where(kept, moved, 0.0)
        moved_others[place] = 0.0
        reached = moved_others > max(least, OF_OWN * float(moved[place]))
        if bool(reached.any()) and (worst is None or float(moved_others.max()) > worst.change):
            first = int(moved_others.argmax())
            worst = Mixing(
                place, first, int(reached.sum()), float(moved_others[first]), float(moved[place]), size,
                _first(base, changed, place, size),
            )  # fmt: skip
    return Separation(worst, own, True)


def _pass(loop: Loop, rows: Tensor, known: list[Any] | None) -> _Pass:
    subject = loop.subject
    apart = Apart(len(rows), known)
    with loop.looking(), unchanged(loop.model), returned_by(loop.model) as outputs:
        x, target = subject.inputs[rows], subject.targets[rows]
        if subject.stepped is not None:
            batch = [one.clone() for one in tensors_in(loop.batch(rows))]
        else:
            batch = [x.clone(), target]
        with apart:
            output = loop.forward(x.clone(), target)
        found = output.look
        if found is not None and found.main is not None:
            table = judged(found.touch, found.main, len(rows))
            made, wanted = table.made, table.wanted
        else:
            made, wanted = fitted(output.reconstruction, target).flatten(1), target.flatten(1)
    if len(made) != len(rows):
        raise ValueError("the reconstruction has no row for a row")
    return _Pass(made.detach().float(), wanted.detach().float(), batch, apart.found, list(outputs))


@contextmanager
def returned_by(model: nn.Module) -> Iterator[list[tuple[str, Tensor]]]:
    """The first tensor that each module returns."""
    found: list[tuple[str, Tensor]] = []
    names = {module: name for name, module in model.named_modules() if module is not model}

    def leave(module: nn.Module, _given: object, output: Any) -> None:
        first = next(tensors_in(output), None)
        if first is not None and first.is_floating_point():
            found.append((names[module], first.detach().clone()))

    with hooked(names, leave):
        yield found


def _alone(base: _Pass, changed: _Pass, place: int, size: int) -> bool:
    """Whether the two batches differ in one row only."""
    if len(base.batch) != len(changed.batch):
        return False
    for one, other in zip(base.batch, changed.batch, strict=True):
        if one.shape != other.shape:
            return False
        axis = next((axis for axis, length in enumerate(one.shape) if length == size), None)
        if axis is None:
            if not torch.equal(one, other):
                return False
            continue
        kept = torch.arange(size, device=one.device) != place
        if not torch.equal(*(part.movedim(axis, 0)[kept].nan_to_num() for part in (one, other))):
            return False
    return base.made.shape == changed.made.shape


def _first(base: _Pass, changed: _Pass, place: int, size: int) -> str:
    for (name, one), (_, other) in zip(base.outputs, changed.outputs, strict=False):
        if one.shape != other.shape or not one.ndim or len(one) != size:
            continue
        moved = (one - other).abs().flatten(1).amax(1)
        moved[place] = 0.0
        if float(moved.max()) > MIXED * float(one.abs().max()):
            return name
    return ""
