"""What a step touches on its way from the batch to the loss, watched at PyTorch's own functions.

A function mode sees every call, whether it is made in a forward, a loss or a training step. Each tensor is
known by what it depends on, the batch, the weights or both, so a comparison of an output with the data is
found where it is made, with the shapes that it has there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

DATA, WEIGHTS = 1, 2
"""What a tensor depends on: the batch, the parameters."""

LOSSES: dict[str, str] = {
    "mse_loss": "mse", "l1_loss": "mae", "smooth_l1_loss": "smooth_l1", "huber_loss": "huber",
    "binary_cross_entropy": "bce", "binary_cross_entropy_with_logits": "bce_logits", "cross_entropy": "cross_entropy",
    "nll_loss": "nll", "kl_div": "kl_div", "gaussian_nll_loss": "", "poisson_nll_loss": "", "cosine_similarity": "",
    "pairwise_distance": "", "dist": "mse", "cosine_embedding_loss": "",
}  # fmt: skip
"""PyTorch's losses by the name that `aetui.diagnosis.losses` has for them, '' for none."""
_TARGET_FIRST = ("rsub",)
_DRAWS = ("randn_like", "rand_like", "randint_like", "zeros_like", "ones_like", "full_like", "empty_like", "bernoulli",
          "new_zeros", "new_ones", "new_full", "new_empty", "size", "numel", "dim")  # fmt: skip
"""Calls whose result has the shape of what they are given, and nothing of its values."""
ALIKE = (
    "view", "reshape", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "T", "contiguous", "to", "float",
    "double", "half", "bfloat16", "type", "clone", "view_as", "reshape_as", "movedim", "swapaxes", "expand",
    "unflatten", "detach", "cpu", "cuda", "requires_grad", "expand_as", "broadcast_to", "type_as",
)  # fmt: skip
"""Calls that change shape or kind of a tensor, and no value."""
_WEIGHTED = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
             "matmul", "rmatmul", "mm", "bmm", "einsum", "addmm", "embedding", "lstm", "gru", "rnn_tanh", "bilinear",
             "scaled_dot_product_attention", "multi_head_attention_forward", "batch_norm", "layer_norm")  # fmt: skip


@dataclass(frozen=True)
class Record:
    """How a tensor came about."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    module: str
    """Name of the module whose forward computed it; '' for the model's own or for code outside."""

    @property
    def tensors(self) -> list[Tensor]:
        return list(tensors_in((self.args, self.kwargs)))


@dataclass
class Comparison:
    """A call that compares an output of the model with the data, with the tensors as they enter it.

    mask: 0 and 1, in a shape that broadcasts to that of the outputs, where only the entries under a 1 count.
    """

    number: int
    function: str
    made: Tensor
    wanted: Tensor
    swapped: bool
    """Whether the data came where the function takes outputs."""
    result: Tensor
    mask: Tensor | None = None

    @property
    def named(self) -> bool:
        return self.function in LOSSES

    @property
    def broadcasts(self) -> bool:
        """Whether one of the two was spread over the other."""
        if self.function in ("cross_entropy", "nll_loss") or self.made.shape == self.wanted.shape:
            return False
        try:
            size = torch.broadcast_shapes(self.made.shape, self.wanted.shape).numel()
        except RuntimeError:
            return False
        return size > self.made.numel() or (size > self.wanted.numel() and self.wanted.numel() > 1)


class Touch(TorchFunctionMode):
    """Watches what is computed from a batch, and remembers how.

    instead: (number of a comparison, what takes the place of its output, given output and target).
    """

    def __init__(
        self,
        data: Any,
        weights: Any = (),
        instead: tuple[int, Callable[[Tensor, Tensor], Tensor]] | None = None,
    ) -> None:
        super().__init__()
        self.records: dict[int, Record] = {}
        self.comparisons: list[Comparison] = []
        self.near: list[Comparison] = []
        """Comparisons of two outputs with each other, as of a code with its codebook."""
        self.stack: list[str] = []
        self.outputs: dict[int, str] = {}
        """Names of the modules that returned these tensors."""
        self.read: Tensor | None = None
        """The first values of the batch that the model computes with, as it is given them."""
        self._instead = instead
        self._kept: list[Any] = [data, weights]
        self._flags: dict[int, int] = {}
        self._bits: dict[int, int] = {}
        self._near_bits: dict[int, int] = {}
        self._follows: dict[int, Comparison] = {}
        for one in tensors_in(data):
            self._flags[id(one)] = DATA
        for one in tensors_in(weights):
            self._flags[id(one)] = self._flags.get(id(one), 0) | WEIGHTS

    def mark(self, values: Any, flags: int) -> None:
        """Say what tensors depend on that were computed before the watching began."""
        self._kept.append(values)
        for one in tensors_in(values):
            self._flags[id(one)] = flags

    def depends(self, tensor: Tensor) -> int:
        found = self._flags.get(id(tensor))
        if found is None:
            return WEIGHTS if isinstance(tensor, nn.Parameter) else 0
        return found

    def compared_in(self, tensor: Tensor) -> int:
        """The comparisons that a tensor depends on, one bit each by number."""
        return self._bits.get(id(tensor), 0)

    def matched_in(self, tensor: Tensor) -> bool:
        """Whether a tensor depends on a comparison of two outputs."""
        return bool(self._near_bits.get(id(tensor), 0))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = _name(func)
        found = self._compared(name, args, kwargs)
        if found is not None and self._instead is not None and found.number == self._instead[0]:
            other = self._instead[1](found.made, found.wanted)
            args = _replaced(args, found.made, other)
            kwargs = {key: other if one is found.made else one for key, one in kwargs.items()}
            found.made = other
        result = func(*args, **kwargs)
        if found is not None and isinstance(result, Tensor):
            found.result = result
            self.comparisons.append(found)
        elif self.read is None and self.comparisons == []:
            self.read = self._read(args, kwargs)
        self._note(name, func, args, kwargs, result)
        if found is not None and isinstance(result, Tensor):
            self._bits[id(result)] = self._bits.get(id(result), 0) | 1 << found.number
            self._follows[id(result)] = found
        return result

    def _read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """What of the batch meets a weight in a call."""
        given = list(tensors_in((args, kwargs)))
        if not any(self.depends(one) & WEIGHTS for one in given):
            return None
        own = (one for one in given if self.depends(one) == DATA and one.is_floating_point() and one.ndim > 1)
        return next(own, None)

    def _note(self, name: str, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        made = list(tensors_in(result))
        if not made:
            return
        flags = bits = near = 0
        given = list(tensors_in((args, kwargs)))
        if name not in _DRAWS:
            for one in given:
                flags |= self.depends(one)
                bits |= self._bits.get(id(one), 0)
                near |= self._near_bits.get(id(one), 0)
        if (name in ("mse_loss", "sub") and len(given) >= 2 and not bits
                and all(self.depends(one) == DATA | WEIGHTS for one in given[:2])):  # fmt: skip
            self.near.append(Comparison(len(self.near), name, given[0], given[1], False, made[0]))
            near |= 1 << (len(self.near) - 1) if name == "mse_loss" else 0
        record = Record(name, func, args, kwargs, self.stack[-1] if self.stack else "")
        self._kept.append(record)
        for one in made:
            known = {id(part) for part in given}
            if id(one) in known and not name.endswith("_"):
                continue
            self._kept.append(one)
            if id(one) not in known:
                self.records[id(one)] = record
            self._flags[id(one)], self._bits[id(one)], self._near_bits[id(one)] = flags, bits, near
        self._follow(name, args, kwargs, made[0])

    # --- comparisons ----------------------------------------------------------------------------

    def _compared(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Comparison | None:
        """The comparison of an output with the data that a call makes."""
        number = len(self.comparisons)
        if name == "mul" and len(args) == 2:
            return self._likelihood(number, args)
        if name not in LOSSES and name not in ("sub", "rsub"):
            return None
        first = args[0] if args else kwargs.get("input", kwargs.get("x1"))
        second = args[1] if len(args) > 1 else kwargs.get("target", kwargs.get("other", kwargs.get("x2")))
        if not isinstance(first, Tensor) or not isinstance(second, Tensor):
            return None
        kinds = self.depends(first), self.depends(second)
        if kinds[0] == DATA | WEIGHTS and not kinds[1] & WEIGHTS and (kinds[1] or name in LOSSES):
            return Comparison(number, name, first, second, False, first)
        if kinds[1] == DATA | WEIGHTS and not kinds[0] & WEIGHTS and kinds[0]:
            return Comparison(number, name, second, first, name in LOSSES, second)
        return None

    def _likelihood(self, number: int, args: tuple[Any, ...]) -> Comparison | None:
        """The data times the logarithm of an output, as in a cross-entropy that is written out."""
        for target, output in (args, args[::-1]):
            if not isinstance(target, Tensor) or not isinstance(output, Tensor) or self.depends(target) != DATA:
                continue
            record = self.records.get(id(output))
            if record is None or record.name not in ("log", "logsigmoid") or self.depends(output) != DATA | WEIGHTS:
                continue
            made = record.args[0]
            while (before := self.records.get(id(made))) is not None and before.name in ("add", "clamp", "clip"):
                made = before.args[0]
            if any(one.function == "log" and one.wanted is target for one in self.comparisons):
                return None
            return Comparison(number, "log", made, target, False, output)
        return None

    def _follow(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        """A factor of 0 and 1 on what a comparison came to is its mask."""
        values = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor)]
        comparison = next((self._follows[id(one)] for one in values if id(one) in self._follows), None)
        if comparison is None or result.ndim == 0:
            return
        if name in ("mul", "getitem", "masked_select", "masked_fill", "where", "truediv", "div"):
            for other in values:
                if id(other) not in self._follows and not self.depends(other) & WEIGHTS and name != "div":
                    mask = as_mask(other, comparison.made)
                    if mask is not None and comparison.mask is None:
                        comparison.mask = 1 - mask if name == "masked_fill" else mask
        if result.numel() and result.shape[0] == comparison.result.shape[0]:
            self._follows[id(result)] = comparison

    # --- where from -----------------------------------------------------------------------------

    def chain(self, tensor: Tensor) -> Iterator[tuple[Tensor, str]]:
        """A tensor and those that it was made from by one call after the other, with the calls between."""
        seen = 0
        through = ""
        while seen < 64:
            yield tensor, through
            record = self.records.get(id(tensor))
            if record is None:
                return
            wanted = self.depends(tensor)
            given = [one for one in record.tensors if self.depends(one) == wanted] if wanted else record.tensors[:1]
            if len(given) != 1 or record.name in _WEIGHTED:
                return
            tensor, through, seen = given[0], through if record.name in ALIKE else record.name, seen + 1

    def behind(self, tensor: Tensor, most: int = 300) -> list[Tensor]:
        """Tensors that one was computed from, nearest first, up to the weighted layers."""
        found: dict[int, Tensor] = {}
        waiting = [tensor]
        while waiting and len(found) < most:
            one = waiting.pop(0)
            if id(one) in found or self.depends(one) & WEIGHTS == 0:
                continue
            found[id(one)] = one
            record = self.records.get(id(one))
            if record is not None and record.name not in _WEIGHTED:
                waiting.extend(record.tensors)
        return list(found.values())


def as_mask(values: Tensor, like: Tensor) -> Tensor | None:
    """`values` as a mask over `like`; None where they are not 0 and 1, both of them."""
    if values.is_complex() or values.numel() < 2 or values.ndim == 0:
        return None
    mask = values.detach()
    if not (mask.dtype == torch.bool or bool(((mask == 0) | (mask == 1)).all())):
        return None
    mask = mask.to(like.dtype if like.is_floating_point() else torch.float32)
    if not bool((mask == 0).any()) or not bool((mask == 1).any()):
        return None
    while mask.ndim < like.ndim and mask.shape[0] == like.shape[0]:
        mask = mask.unsqueeze(-1)
    try:
        return mask.expand(like.shape)
    except RuntimeError:
        return None


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in a nest of containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from tensors_in(vars(value) if hasattr(value, "__dict__") else ())


def _name(func: Any) -> str:
    """`__rsub__` and `sub_` by the names of the functions that they are."""
    if getattr(func, "__name__", "") == "__get__":
        return getattr(getattr(func, "__self__", None), "__name__", "__get__")
    name = getattr(func, "__name__", "").strip("_")
    return _SAME.get(name, name)


_SAME = {
    "iadd": "add", "radd": "add", "isub": "sub", "subtract": "sub", "imul": "mul", "rmul": "mul", "multiply": "mul",
    "itruediv": "div", "truediv": "div", "divide": "div", "rtruediv": "rdiv",
}  # fmt: skip


def _replaced(values: tuple[Any, ...], old: Tensor, new: Tensor) -> tuple[Any, ...]:
    return tuple(new if one is old else one for one in values)
