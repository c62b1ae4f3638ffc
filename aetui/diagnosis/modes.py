"""What a forward computes, seen and changed at the level of PyTorch's functions.

Activations may be modules or calls in a user's forward; both end in the same few functions. A
function mode sees them all, so nothing here needs to know how a model is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from aetui.diagnosis.lines import own_line
from aetui.models.units import VARIES

ACTIVATIONS: dict[Any, str] = {
    torch.relu: "relu", torch.relu_: "relu", F.relu: "relu", F.relu_: "relu", Tensor.relu: "relu",
    Tensor.relu_: "relu", F.relu6: "relu", F.hardtanh: "tanh",
    torch.sigmoid: "sigmoid", torch.sigmoid_: "sigmoid", Tensor.sigmoid: "sigmoid", Tensor.sigmoid_: "sigmoid",
    F.sigmoid: "sigmoid", torch.special.expit: "sigmoid", F.hardsigmoid: "sigmoid",
    torch.tanh: "tanh", torch.tanh_: "tanh", Tensor.tanh: "tanh", Tensor.tanh_: "tanh", F.tanh: "tanh",
    F.leaky_relu: "leaky_relu", F.elu: "elu", F.selu: "elu", F.celu: "elu", F.gelu: "gelu", F.silu: "silu",
    F.softplus: "softplus", F.mish: "silu", F.prelu: "leaky_relu", F.hardswish: "silu",
    F.softmax: "softmax", torch.softmax: "softmax", Tensor.softmax: "softmax", F.log_softmax: "log_softmax",
    torch.log_softmax: "log_softmax", Tensor.log_softmax: "log_softmax", F.softsign: "tanh",
    torch.clamp: "clamp", Tensor.clamp: "clamp", torch.clip: "clamp", Tensor.clip: "clamp", F.logsigmoid: "logsigmoid",
}  # fmt: skip
"""PyTorch's functions by the name of the activation."""
SQUASHING = ("sigmoid", "tanh")
_WEIGHTED = (F.linear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d,
             torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, torch.bmm, F.bilinear)  # fmt: skip
_DROPOUT = (F.dropout, torch.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout,
            torch.dropout_, torch.feature_dropout)  # fmt: skip
_NORMAL_LIKE = (torch.randn_like,)
_UNIFORM_LIKE = (torch.rand_like,)
_DETACHING = (Tensor.detach, torch.detach, Tensor.detach_)
_DATA = Tensor.__dict__.get("data", torch._C.TensorBase.__dict__.get("data"))
_STEPS = (torch.round, Tensor.round, torch.floor, Tensor.floor, torch.ceil, Tensor.ceil, torch.trunc, Tensor.trunc,
          torch.sign, Tensor.sign)  # fmt: skip
"""Functions of tensors whose gradient is zero everywhere."""
_CHOICES = (torch.argmax, Tensor.argmax, torch.argmin, Tensor.argmin, torch.heaviside, Tensor.heaviside, Tensor.long,
            Tensor.int, torch.gt, Tensor.gt, Tensor.__gt__, torch.ge, Tensor.ge, Tensor.__ge__, torch.lt, Tensor.lt,
            Tensor.__lt__, torch.le, Tensor.le, Tensor.__le__)  # fmt: skip
"""Functions whose result has no gradient."""
_KEPT = 1.0 - 1e-6
"""What a uniform number becomes where noise is silenced: a mask `rand > p` then keeps everything."""


@dataclass
class Call:
    """One activation in a forward."""

    index: int
    kind: str
    where: str
    """Name of the module it was computed in, '' for the model itself."""
    output: Tensor
    line: str = ""
    """Of the caller's own code, where it was called from there."""
    fixed: Tensor | None = None
    """Which values of a row are given the same for every row, [values]; None where that was not looked at."""


@dataclass
class Watcher(TorchFunctionMode):
    """Records the activations of a forward, in order, and the inputs of its weighted layers.

    `names` maps modules to their names; `enter` and `leave` are called by hooks on them.
    """

    calls: list[Call] = field(default_factory=list)
    sums: list[tuple[str, Tensor]] = field(default_factory=list)
    """Outputs of weighted layers, with the module they were computed in."""
    stack: list[str] = field(default_factory=list)
    called: set[str] = field(default_factory=set)
    noise: list[tuple[str, str]] = field(default_factory=list)
    """Kind of each random draw and the module that made it."""
    cuts: list[str] = field(default_factory=list)
    """Lines of the caller's own code that cut the gradient."""
    coarse: list[str] = field(default_factory=list)
    """Lines that round, or choose by size, something that has a gradient."""
    choices: int = 0
    """How many of these choose."""

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kind = ACTIVATIONS.get(func)
        # Before the call, which may be one in place.
        fixed = None if kind is None else _fixed(args[0] if args else None)
        result = func(*args, **(kwargs or {}))
        where = self.stack[-1] if self.stack else ""
        if kind is not None and isinstance(result, Tensor):
            self.calls.append(Call(len(self.calls), kind, where, result, own_line(), fixed))
        elif func in _WEIGHTED and isinstance(result, Tensor):
            self.sums.append((where, result))
        elif func in _DETACHING or getattr(func, "__self__", None) is _DATA:
            self.cuts.append(own_line())
        elif func in _STEPS or func in _CHOICES:
            if isinstance(args[0], Tensor) and args[0].requires_grad:
                self.coarse.append(own_line())
                self.choices += func in _CHOICES
        elif func in _DROPOUT or func in _NORMAL_LIKE or func in _UNIFORM_LIKE or _is_draw(func):
            self.noise.append(("dropout" if func in _DROPOUT else "noise", where))
        return result


def _fixed(given: Any) -> Tensor | None:
    """Which values of a row are the same for every row."""
    if not isinstance(given, Tensor) or given.ndim < 2 or len(given) < 2 or not given.numel():
        return None
    values = given.detach().flatten(1).float()
    return values.amax(0) - values.amin(0) <= VARIES * values.abs().amax()


def _is_draw(func: Any) -> bool:
    return func in (torch.randn, torch.rand, torch.normal, torch.bernoulli, Tensor.normal_, Tensor.bernoulli_,
                    Tensor.uniform_)  # fmt: skip


@dataclass
class Altered(TorchFunctionMode):
    """Computes a forward with some of its functions changed.

    swaps: what takes the place of the activation calls with these numbers. every: the same by
    kind, for all calls without an entry in `swaps`. silent: no dropout and no noise. attached:
    `detach`, `.data` and `no_grad` do not cut gradients, and rounding passes them straight through.
    """

    swaps: dict[int, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    every: dict[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    silent: bool = False
    attached: bool = False
    tap: int | None = None
    """Number of an activation call whose output is kept in `tapped`, swapped or not."""
    tapped: Tensor | None = None
    count: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def __enter__(self) -> Altered:
        self.count = 0
        return super().__enter__()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        kind = ACTIVATIONS.get(func)
        if kind is not None:
            number, self.count = self.count, self.count + 1
            instead = self.swaps.get(number) or self.every.get(kind)
            if number == self.tap:
                self.tapped = func(*args, **kwargs) if instead is None else instead(args[0])
                return self.tapped
            if instead is not None:
                return instead(args[0])
        if self.silent:
            changed = _silenced(func, args, kwargs)
            if changed is not None:
                return changed
        if self.attached:
            if func in _DETACHING or getattr(func, "__self__", None) is _DATA:
                return args[0]
            if func in _STEPS and isinstance(args[0], Tensor) and args[0].is_floating_point():
                return args[0] + (func(*args, **kwargs) - args[0]).detach()
            with torch.enable_grad():
                return func(*args, **kwargs)
        return func(*args, **kwargs)

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return not (self.swaps or self.every or self.silent or self.attached or self.tap is not None)


def _silenced(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """What a random function yields without its randomness; None for any other function."""
    if func in _DROPOUT:
        return args[0]
    if func in _NORMAL_LIKE:
        return torch.zeros_like(args[0])
    if func in _UNIFORM_LIKE:
        return torch.full_like(args[0], _KEPT)
    if func is torch.randperm:
        # Rows that are exchanged at random are noise too: in their own places they are not.
        return torch.arange(args[0], **{key: one for key, one in kwargs.items() if key in ("device", "dtype")})
    if func in (torch.randn, torch.rand):
        return func(*args, **kwargs).fill_(0.0 if func is torch.randn else _KEPT)
    if func is torch.normal and args and isinstance(args[0], Tensor):
        return args[0]
    if func is torch.normal and isinstance(kwargs.get("mean", args[0] if args else 0.0), int | float):
        return func(*args, **kwargs).fill_(float(kwargs.get("mean", args[0] if args else 0.0)))
    if func is Tensor.normal_:
        return args[0].fill_(float(kwargs.get("mean", args[1] if len(args) > 1 else 0.0)))
    if func is Tensor.bernoulli_:
        values, share = args[0], kwargs.get("p", args[1] if len(args) > 1 else 0.5)
        return values.copy_(share) if isinstance(share, Tensor) else values.fill_(float(share))
    if func is torch.bernoulli:
        return args[0].clone()
    return None
