"""Discrete codes: which entries of a codebook a forward picks, and what their bits allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from aetui.diagnosis.lines import own_line
from aetui.diagnosis.touched import ALIKE, tensors_in
from aetui.models.custom import OwnAutoencoder

SPACE = math.pi * math.e / 6
"""Squared error of a quantizer over the least that its bits allow, at most: 1.53 dB (Gersho & Gray 1992, chapter 5)."""
_PICKS = ("argmin", "argmax", "min", "max", "topk", "multinomial")
_SAME = (*ALIKE, "long", "int", "normalize", "flip", "repeat", "stack", "cat", "t", "mT")


@dataclass(frozen=True)
class CodeUse:
    """How a codebook is used over some rows.

    entries: of the codebook. used: those that some row picks. perplexity: exp of the entropy of the picks. picks: how
    many there were. each: picks per row. line: of the caller's own code that looks them up.
    """

    where: str
    entries: int
    used: int
    perplexity: float
    picks: int
    each: float
    line: str = ""

    @property
    def bits(self) -> float:
        """Bits that a row's picks could carry."""
        return self.each * math.log2(self.entries)

    @property
    def idle(self) -> float:
        """Share of these bits that entries nothing picks leave unused; of the picks' own where they are fewer.

        By the number of entries, since picks are uneven where the data are, as with much background.
        """
        most = min(self.entries, self.picks)
        return 1 - math.log(max(1, self.used)) / math.log(most) if most > 1 else 0.0


@dataclass(frozen=True)
class Sparse:
    """A code of which each row has a few units only. active: units of a row that are not 0, on average (L0). dead:
    share of the units that no row has."""

    units: int
    active: float
    dead: float


@dataclass(frozen=True)
class _Lookup:
    where: str
    entries: int
    indices: Tensor
    line: str


class Picks(TorchFunctionMode):
    """Sees entries of the model's own tables picked by the smallest distance or the largest score."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        held = (*model.named_parameters(), *model.named_buffers())
        self._tables = {
            one.data_ptr(): name.removeprefix("inner.") if isinstance(model, OwnAutoencoder) else name
            for name, one in held if one.ndim == 2 and one.is_floating_point()
        }  # fmt: skip
        self._picked: dict[int, Tensor] = {}
        """By the id of a tensor made of picks, the indices in it; of a one-hot tensor those of its ones."""
        self._named: dict[int, str] = {}
        self._kept: list[Any] = []
        self.lookups: list[_Lookup] = []
        self.sparse: Sparse | None = None
        """Of the last code whose largest units alone are kept."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "").strip("_")
        if self._tables:
            self._note(name, args, kwargs, result)
        return result

    def _note(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        given = list(tensors_in((args, kwargs)))
        made = list(tensors_in(result))
        if name in _PICKS:
            for one in made:
                if not one.is_floating_point() and one.dtype != torch.bool and one.numel() > 1:
                    self._keep(one, one)
            return
        indices = next((self._picked[id(one)] for one in given if id(one) in self._picked), None)
        table = next((one for one in given if one.ndim == 2 and self._name(one)), None)
        if table is not None and name in _SAME and len(made) == 1:
            self._named[id(made[0])] = self._name(table)
            self._kept.append(made[0])
        if indices is None or len(made) != 1:
            return
        if table is not None and name in ("embedding", "getitem", "index_select", "matmul", "mm", "rmatmul", "linear"):
            self.lookups.append(_Lookup(self._name(table), len(table), indices.detach().reshape(-1), own_line()))
        elif name in ("scatter", "scatter_add") and sum(one.is_floating_point() for one in given) > 1:
            values = made[0].detach().reshape(-1, made[0].shape[-1])
            on = values != 0
            self.sparse = Sparse(values.shape[1], float(on.sum(1).double().mean()), float((~on.any(0)).double().mean()))
        elif name in ("one_hot", "scatter", "scatter_add"):
            self._keep(made[0], indices)
        elif name in _SAME:
            self._keep(made[0], indices if made[0].is_floating_point() else made[0])

    def _keep(self, tensor: Tensor, indices: Tensor) -> None:
        self._picked[id(tensor)] = indices
        self._kept.append(tensor)

    def _name(self, tensor: Tensor) -> str:
        return self._named.get(id(tensor)) or self._tables.get(tensor.data_ptr(), "")


def uses_of(looks: Sequence[tuple[Picks, int]]) -> tuple[CodeUse, ...]:
    """The codebooks that forwards of so many rows looked up, in order, each once."""
    found: dict[str, list[_Lookup]] = {}
    rows = sum(count for _, count in looks)
    for picks, _ in looks:
        seen: set[tuple[str, int]] = set()
        for one in picks.lookups:
            # A forward may look the same picks up twice, once for the loss.
            fits = one.indices.numel() and int(one.indices.max()) < one.entries
            if fits and (one.where, id(one.indices)) not in seen:
                seen.add((one.where, id(one.indices)))
                found.setdefault(one.where, []).append(one)
    uses: list[CodeUse] = []
    for where, group in found.items():
        counts = torch.zeros(group[0].entries, dtype=torch.float64)
        for one in group:
            counts += torch.bincount(one.indices.long().cpu(), minlength=one.entries).double()
        shares = counts[counts > 0] / counts.sum()
        total = int(counts.sum())
        uses.append(
            CodeUse(
                where, group[0].entries, int((counts > 0).sum()), float((-shares * shares.log()).sum().exp()), total,
                total / max(1, rows), group[0].line,
            )
        )  # fmt: skip
    return tuple(uses)


def allowed(bits: float, variances: Sequence[float]) -> float:
    """Share of the variance that a code of so many bits a row can explain of a Gaussian, 0 to 1.

    Args:
        variances: along the principal components that the code has room for, in shares of the total.

    The components above a level share the bits, and each misses that level (reverse water-filling: Cover & Thomas 2006,
    theorem 10.3.3), here with what quantizers lose on top of it.
    """
    kept = sorted((one for one in variances if one > 0), reverse=True)
    for count in range(len(kept), 0, -1):
        level = math.exp(sum(map(math.log, kept[:count])) / count - 2 * bits * math.log(2) / count)
        if level <= kept[count - 1]:
            return sum(max(0.0, one - SPACE * level) for one in kept[:count])
    return 0.0
