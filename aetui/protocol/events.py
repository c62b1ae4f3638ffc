"""What happened, pushed to every screen in order."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from aetui.protocol.values import Array, Setting, State


class Event(Struct, frozen=True, tag_field="type", kw_only=True):
    """Something that happened at a step.

    `seq` grows with each event of a run, also over several engines; `branch` is the one in training.
    """

    seq: int = 0
    branch: int = 0
    step: int = 0
    time: float = 0.0
    """Seconds since the epoch."""


class Loading(Event, frozen=True, tag="loading"):
    """What the engine is busy with before it is ready."""

    stage: str
    where: str = ""
    """Where in its code it is, where the stage takes long."""


class Floors(Struct, frozen=True):
    """Losses that need no training, under the loss in force; None where it does not apply.

    mean: best constant prediction. linear: PCA as wide as the code. entropy: least value that
    soft targets allow. linear_explained: explained variance of that PCA.
    """

    mean: float | None = None
    linear: float | None = None
    entropy: float | None = None
    linear_explained: float | None = None


class Stretch(Struct, frozen=True):
    """A stretch of the path from step 0 to where the run stands: the first events of a branch."""

    branch: int
    end: int | None = None
    """Last step on the path, None where the run goes on."""
    last: int | None = None
    """`seq` of the last event that may be on the path, None for all of them."""


class Branch(Struct, frozen=True, kw_only=True):
    """Training that the run has left, and that it can return to."""

    id: int
    start: int
    """Steps that it shares with the branch that it left."""
    end: int
    steps: Array
    """Steps of `loss`, shape (n,)."""
    loss: Array
    """Reconstruction term in train mode, extremes kept, shape (n,)."""


class RunInfo(Struct, frozen=True, kw_only=True):
    """What does not change while a run trains, but for its live settings."""

    run: int
    """Number of what is on the screen; a run that returns to an earlier step gets another number."""
    name: str
    spec: str
    """The whole spec as TOML, with the live settings in force; '' where the run has none."""
    source: str
    """The data in a few words: `digits 1797 x 64`."""
    architecture: str
    """`64-128-[10]-128-64`."""
    code: int = 0
    """Width of the code, 0 where it is not known."""
    parameters: int
    features: int
    train_rows: int
    validation_rows: int
    image_shape: tuple[int, ...] = ()
    """(channels, height, width), or () for vectors."""
    feature_names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """Names of the classes that color the code, or ()."""
    device: str = "cpu"
    dtype: str = "float32"
    spinning: int = 0
    """Threads of the training that spin without bound while they wait for each other; 0 for none, or unknown."""
    goal: int | None = None
    """Step at which the run ends by itself, None for never."""
    floors: Floors = Floors()
    warnings: tuple[str, ...] = ()
    title: str = ""
    text: str = ""
    knobs: tuple[str, ...] = ()
    log: str = ""
    """File that holds the engine's log and tracebacks."""
    output: str = ""
    """File that gets what a script of the user's own prints, '' where that goes elsewhere."""
    folder: str = ""
    """Where the run is stored, '' where it is not."""
    path: tuple[Stretch, ...] = ()
    branches: tuple[Branch, ...] = ()
    settings: tuple[Setting, ...] = ()
    """All of them, with the values in force."""


class Ready(Event, frozen=True, tag="ready"):
    """A run is loaded, paused at step 0 (or being started)."""

    info: RunInfo


class Moved(Event, frozen=True, tag="moved"):
    """The run stands elsewhere: undo, redo or rewind. Its history is another from here on."""

    command: int
    text: str
    info: RunInfo
    redo: int | None = None
    """Step to which a redo returns, as long as nothing happens before."""
    left: int | None = None
    """Step that it left and that the list of checkpoints has."""


class Change(Struct, frozen=True):
    """One live setting, as text, before and after."""

    path: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path} {self.old or '-'} -> {self.new or '-'}"


class Accepted(Event, frozen=True, tag="accepted"):
    """A command took effect before the step after `step`."""

    command: int
    text: str
    """One line for the journal: `optim.lr 0.001 -> 0.0001`."""
    changes: tuple[Change, ...] = ()
    info: RunInfo | None = None
    """The run's new description where settings changed."""
    repeat: bool = False
    """Whether it goes on with the tweak before it: a key is held."""
    effect: Literal["done", "none"] = "done"
    """`none` where all was as wanted already, and the text says so."""


class Refused(Event, frozen=True, tag="refused"):
    """A command had no effect, and why."""

    command: int
    text: str
    left: int | None = None
    """Step that the run has left and that the list of checkpoints has, where a redo does not lead there."""


class StateChanged(Event, frozen=True, tag="state"):
    state: State
    reason: str = ""
    """One sentence for the reader; '' where the state says it all."""


class Noted(Event, frozen=True, tag="noted"):
    """A remark or warning for the journal."""

    text: str
    warning: bool = False
    kind: Literal["remark", "verdict"] = "remark"
    """`verdict` where it tells what the diagnosis now says of the run."""


class Failed(Event, frozen=True, tag="failed"):
    """Loading or training failed: one sentence, and the log that has the traceback."""

    text: str
    log: str = ""
    path: str = ""
    """The setting at fault, where it is one."""


class Ended(Event, frozen=True, tag="ended"):
    """The engine ends, and how to go on; the last event."""

    text: str
    unsaved: str = ""
    """Why not all of the run is on the disk, '' where it is."""
