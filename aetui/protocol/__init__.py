"""All that crosses between the engine and a screen.

Commands and looks go to the engine; events and views come back. Events are pushed, one per
thing that happened, in order. Views are pulled: a screen asks for one when it is ready to draw
the next frame, so a slow screen never slows the training. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from aetui.protocol.commands import (
    NUDGE_ENDS,
    READ_ONLY,
    Command,
    Examine,
    ListPlaces,
    Look,
    New,
    Nudge,
    Open,
    Pause,
    ReadOnly,
    Redo,
    Rewind,
    Run,
    Set,
    Stop,
    Undo,
)
from aetui.protocol.events import (
    Accepted,
    Branch,
    Change,
    Ended,
    Event,
    Failed,
    Floors,
    Loading,
    Moved,
    Noted,
    Ready,
    Refused,
    RunInfo,
    StateChanged,
    Stretch,
)
from aetui.protocol.trying import Adopt, CancelTry, ForkState, TryForks, TryState
from aetui.protocol.values import OVER, Array, Setting, State
from aetui.protocol.views import (
    Code,
    Diagnosis,
    History,
    Layer,
    Layers,
    Pair,
    Pairs,
    Point,
    Stall,
    Status,
    Variance,
    View,
)

VERSION = 4


class Hello(Struct, frozen=True, tag_field="type", tag="hello"):
    """First message on a connection, from the engine."""

    version: int
    pid: int


class Past(Struct, frozen=True, tag_field="type", tag="past"):
    """The events of the run before this screen came, oldest first; follows `Ready`."""

    events: tuple[Events, ...]


class Place(Struct, frozen=True, kw_only=True):
    """A checkpoint that a rewind can go to."""

    checkpoint: int
    branch: int
    step: int
    time: float
    """Seconds since the epoch."""
    reason: str
    """`start`, `pause`, `before optim.lr 0.1 -> 0.01`, `end`, ..."""
    loss: float | None = None
    explained: float | None = None
    """The last measurement up to there."""
    explained_step: int | None = None
    """Step at which it was made."""
    on_path: bool = True
    """Whether it lies on the way to where the run stands; others lie on branches."""
    here: bool = False
    """Whether the run stands there."""


class Places(Struct, frozen=True, tag_field="type", tag="places"):
    """The answer to `ListPlaces`, the newest first."""

    places: tuple[Place, ...]


Commands = Run | Pause | Set | Nudge | New | Open | Undo | Redo | Rewind | Examine | TryForks | CancelTry | Adopt | Stop
Request = Commands | Look | ListPlaces | ReadOnly
Events = Loading | Ready | Accepted | Refused | StateChanged | Noted | Failed | Moved | Ended
Reply = Hello | Past | Places | View | Events

GAUGES = ("variance", "code", "pairs", "layers", "diagnosis")


class Link(Protocol):
    """What a screen holds of its engine, in either placement."""

    def connect(self, deliver: Callable[[Reply], None], lost: Callable[[str], None]) -> None:
        """Start delivering replies, from another thread; `lost` gets one sentence when the engine is gone."""
        ...

    def send(self, request: Request) -> None:
        """Hand over a request without waiting; requests before the engine is up are kept."""
        ...

    def detach(self) -> None:
        """Let go of the engine, which goes on; in a thread of this process it can't, and ends as with `close`."""
        ...

    def close(self) -> None:
        """Have the engine write a checkpoint and end, and wait for it."""
        ...


__all__ = [
    "GAUGES",
    "NUDGE_ENDS",
    "OVER",
    "READ_ONLY",
    "VERSION",
    "Accepted",
    "Adopt",
    "Array",
    "Branch",
    "CancelTry",
    "Change",
    "Code",
    "Command",
    "Commands",
    "Diagnosis",
    "Ended",
    "Event",
    "Events",
    "Examine",
    "Failed",
    "Floors",
    "ForkState",
    "Hello",
    "History",
    "Layer",
    "Layers",
    "Link",
    "ListPlaces",
    "Loading",
    "Look",
    "Moved",
    "New",
    "Noted",
    "Nudge",
    "Open",
    "Pair",
    "Pairs",
    "Past",
    "Pause",
    "Place",
    "Places",
    "Point",
    "ReadOnly",
    "Ready",
    "Redo",
    "Refused",
    "Reply",
    "Request",
    "Rewind",
    "Run",
    "RunInfo",
    "Set",
    "Setting",
    "Stall",
    "State",
    "StateChanged",
    "Status",
    "Stop",
    "Stretch",
    "TryForks",
    "TryState",
    "Undo",
    "Variance",
    "View",
]
