"""No step waits for the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from aetui.selftest.kinds import KINDS
from aetui.selftest.place import Place, Result
from aetui.training.trainer import Trainer

_STEPS = 20
"""Steps under the guard, of each kind; more than a late loss is late."""
_READS = ("cpu", "numpy", "tolist", "item", "__array__", "__float__", "__int__", "__bool__", "__index__")
"""Methods that bring a tensor's numbers to the host, some of which are no operation where the tensor is there."""
_WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal")
"""Operations that wait on a GPU, since the host needs a number or a shape."""
_INDEXING = ("index", "index_put", "index_put_")


class Waited(RuntimeError):
    """A step read a number of the device's."""


class _Calls(TorchFunctionMode):
    def __init__(self, of_host: Callable[[object], bool]) -> None:
        super().__init__()
        self._of_host = of_host

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _READS and args and not self._of_host(args[0]):
            raise Waited(f"Tensor.{func.__name__}")
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    def __init__(self, of_host: Callable[[object], bool]) -> None:
        super().__init__()
        self._of_host = of_host

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        # A mask is as good as its indices, of which the host has to know how many there are.
        masks = name in _INDEXING and any(torch.is_tensor(one) and one.dtype == torch.bool for one in args[1])
        if (name in _WAITING or masks) and not self._of_host(args[0]):
            raise Waited(f"aten::{name}")
        return func(*args, **(kwargs or {}))


@contextmanager
def guarded(trainer: Trainer) -> Iterator[None]:
    """Fails where a step of this trainer reads a number of the device's, or waits for it.

    On a CPU, where nothing waits, any reading of a tensor counts but of an optimizer's counters, which PyTorch keeps on
    the host unless its kernel is fused. On CUDA it is PyTorch that tells.

    Raises:
        Waited, RuntimeError: a step did; what it called.
    """
    if trainer.device.type == "cuda":
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)
        return
    fused = bool(trainer.optimizer.param_groups[0].get("fused"))

    def of_host(value: object) -> bool:
        state = trainer.optimizer.state.get(trainer.flat.values, {})
        return not fused and any(value is one for one in state.values() if torch.is_tensor(one) and not one.ndim)

    with ExitStack() as stack:
        stack.enter_context(_Calls(of_host))
        stack.enter_context(_Operations(of_host))
        yield


def check(place: Place) -> Iterator[Result]:
    name = "no step waits"
    if place.device.type == "mps":
        yield Result(name, "not applicable", "PyTorch does not tell of it on MPS")
        return
    waited: list[str] = []
    for kind, changes in KINDS.items():
        trainer = place.trainer(changes, on_host=False)
        trainer.run(2)
        try:
            with guarded(trainer):
                for _ in range(_STEPS):
                    trainer.advance()
        except RuntimeError as error:
            waited.append(f"{kind}: {str(error).splitlines()[0]}")
    how = "no tensor is read within the step" if place.is_host else 'torch.cuda.set_sync_debug_mode("error")'
    yield Result.of(name, not waited, "; ".join(waited) or f"{len(KINDS)} kinds, {_STEPS} steps each: {how}")
