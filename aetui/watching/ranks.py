"""The processes of one training: which of them this is, and how they leave each other messages.

They talk by the store through which PyTorch's processes have found each other, over connections of their own. No
process group is made and no collective is added to the training's, so none can wait for one that does not come.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import torch.distributed as dist
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.02
"""Seconds between two looks for an answer."""
_CONNECT = timedelta(seconds=20)
_LISTEN = timedelta(hours=6)
"""How long a process waits for the next message before it asks again."""
_dist: Any = dist
"""As its type stubs do not have all of it."""
_SHARDED = "torch.distributed.fsdp"


NOT_WHOLE = "no process has all of its weights (FSDP), so that none can measure it"


class RanksError(RuntimeError):
    """The processes of a training could not do something together; one sentence."""


@dataclass(frozen=True)
class Place:
    """Which process of how many."""

    rank: int
    world: int


def place() -> Place | None:
    """Which process of a training this is; None where it is the only one.

    Before `torch.distributed` is initialized the launcher's environment says so.
    """
    if not dist.is_available():
        return None
    if dist.is_initialized():
        rank, world = dist.get_rank(), dist.get_world_size()
    else:
        try:
            rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        except (KeyError, ValueError):
            return None
    return Place(rank, world) if world > 1 else None


def follows() -> bool:
    """Whether another process of the training speaks for this one."""
    here = place()
    return here is not None and here.rank > 0


def linked() -> bool:
    """Whether the processes can talk to each other yet."""
    return dist.is_available() and dist.is_initialized()


def sharded(module: nn.Module) -> bool:
    """Whether no process has all of the module, so that one alone can't run it."""
    kinds = (type(one).__module__ for one in module.modules())
    if any(kind.startswith(_SHARDED) for kind in kinds):
        return True
    return any(type(one.data).__name__ == "DTensor" for one in module.parameters())


class Alone(TorchDispatchMode):
    """Within, whatever talks to the other processes is refused: they do not know of it, and would be waited for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace in ("c10d", "_c10d_functional"):
            raise RuntimeError("it talks to the other processes, and this one alone has to measure it")
        return func(*args, **(kwargs or {}))


def restarts() -> int:
    """How often the launcher has started the processes of this training again."""
    with suppress(ValueError):
        return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    return 0


class Mailbox:
    """Messages by name, which are read once or by all."""

    def __init__(self, number: int) -> None:
        """number: which of the watched trainings of these processes it is of.

        Raises:
            RanksError: the processes have no store that takes further connections.
        """
        store: Any = _dist.distributed_c10d._get_default_store()
        while (inner := getattr(store, "underlying_store", None)) is not None:
            store = inner
        if not isinstance(store, _dist.TCPStore):
            raise RanksError(f"the processes have found each other by a {type(store).__name__} and not by a TCPStore")
        # One that waits for the next message holds its connection meanwhile.
        self._talk, self._hear = (
            _dist.PrefixStore(f"aetui/{restarts()}/{number}", _client(store.host, store.port)) for _ in range(2)
        )

    def post(self, name: str, message: Mapping[str, Any]) -> None:
        self._talk.set(name, msgspec.msgpack.encode(message))

    def drop(self, name: str) -> None:
        with suppress(RuntimeError):
            self._talk.delete_key(name)

    def has(self, *names: str) -> bool:
        """Whether all of them are there."""
        return self._talk.check(list(names))

    def read(self, name: str) -> Any:
        """A message that is there."""
        return msgspec.msgpack.decode(bytes(self._talk.get(name)))

    def next(self, name: str) -> Any:
        """A message, waited for however long it takes.

        Raises:
            RuntimeError: the store is gone.
        """
        while True:
            try:
                self._hear.wait([name], _LISTEN)
            except dist.DistStoreError:
                continue
            return msgspec.msgpack.decode(bytes(self._hear.get(name)))

    def collect(self, names: Iterable[str], seconds: float, missing: Callable[[str], str]) -> list[Any]:
        """Messages that others are about to leave; they are gone afterwards.

        Raises:
            RanksError: one did not come in time; `missing` makes the sentence of its name.
        """
        names = list(names)
        until, pause = time.monotonic() + seconds, _FIRST_PAUSE
        while not self.has(*names):
            if time.monotonic() > until:
                raise RanksError(missing(next((name for name in names if not self.has(name)), names[-1])))
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)
        found = [self.read(name) for name in names]
        for name in names:
            self.drop(name)
        return found

    def beat(self) -> int:
        """One more sign of life; how many there were."""
        return self._talk.add("beat", 1)

    def beats(self) -> int:
        return self._talk.add("beat", 0)


def _client(host: str, port: int) -> Any:
    """A connection of our own to a store."""
    return _dist.TCPStore(host, port, is_master=False, timeout=_CONNECT)


def keep_name(number: int, name: str) -> None:
    """Leave the name of a run with the launcher, for after a restart."""
    with suppress(RuntimeError):
        if (store := _launcher()) is not None:
            store.set(f"aetui/name/{number}", name)


def kept_name(number: int) -> str:
    """The name that the run had before the last restart, '' where there was none."""
    key = f"aetui/name/{number}"
    with suppress(RuntimeError):
        store = _launcher() if restarts() else None
        if store is not None and store.check([key]):
            return bytes(store.get(key)).decode()
    return ""


def _launcher() -> Any:
    """The store of the launcher, which outlives the processes that it starts; None where it has none."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    try:
        return _client(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    except (KeyError, ValueError, RuntimeError):
        return None
