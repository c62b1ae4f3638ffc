"""All that crosses between the engine and a screen.

Commands and looks go to the engine; events and views come back. Events are pushed, one per
thing that happened, in order. Views are pulled: a screen asks for one when it is ready to draw
the next frame, so a slow screen never slows the training. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from msgspec import Struct

from aetui.report import Report

VERSION = 1

State = str
"""`loading`, `paused`, `running`, `finished`, `non-finite` or `failed`; all but the first two and
`running` are a kind of paused with the reason in the name."""


class Array(Struct, frozen=True):
    """A float32 array: little-endian bytes in C order."""

    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, values: Any) -> Array:
        values = np.ascontiguousarray(values, dtype="<f4")
        return cls(values.shape, values.tobytes())

    def numpy(self) -> np.ndarray:
        """The values, read-only."""
        return np.frombuffer(self.data, dtype="<f4").reshape(self.shape)


# --- to the engine ------------------------------------------------------------------------------


class Command(Struct, frozen=True, tag_field="type"):
    """Base of what a screen may ask for; `id` comes back in the acknowledgement."""

    id: int


class Run(Command, frozen=True, tag="run"):
    """Train on, or `steps` more steps and pause. With no `steps` to the spec's own end."""

    steps: int | None = None


class Pause(Command, frozen=True, tag="pause"):
    """Stop before the next step."""


class Set(Command, frozen=True, tag="set"):
    """Change live settings, all or nothing: values by path, as text."""

    changes: dict[str, str] = {}


class Nudge(Command, frozen=True, tag="nudge"):
    """Multiply a live number by 10 ** (by / 4); equal and opposite nudges cancel exactly."""

    path: str = "optim.lr"
    by: int = 1


class New(Command, frozen=True, tag="new"):
    """Leave the present run and load another spec, given as TOML, paused at step 0."""

    spec: str = ""
    start: bool = False


class Examine(Command, frozen=True, tag="examine"):
    """Stop before the next step and check the suspected causes with short probes on copies of the run."""


class Stop(Command, frozen=True, tag="stop"):
    """End the engine."""


class Look(Struct, frozen=True, tag_field="type", tag="look"):
    """Ask for a view: what changed since the last one."""

    run: int = 0
    """Number of the run that `since` and `have` speak of; another run's history starts over."""
    since: int = 0
    """Steps of history that the screen already has."""
    points: int = 0
    """Measurements that the screen already has."""
    have: dict[str, int] = {}
    """Panes on the screen, by gauge name, with the version that the screen already has (0: none)."""
    sample: int = 0
    """First sample of the reconstructions wanted."""


# --- from the engine: events --------------------------------------------------------------------


class Event(Struct, frozen=True, tag_field="type", kw_only=True):
    """Something that happened at a step; `seq` grows by one with each event of an engine."""

    seq: int = 0
    step: int = 0
    time: float = 0.0
    """Seconds since the epoch."""


class Loading(Event, frozen=True, tag="loading"):
    """What the engine is busy with before it is ready."""

    stage: str


class Floors(Struct, frozen=True):
    """Losses that need no training, under the loss in force; None where it does not apply.

    mean: best constant prediction. linear: PCA as wide as the code. entropy: least value that
    soft targets allow. linear_explained: explained variance of that PCA.
    """

    mean: float | None = None
    linear: float | None = None
    entropy: float | None = None
    linear_explained: float | None = None


class RunInfo(Struct, frozen=True, kw_only=True):
    """What does not change while a run trains, but for its live settings."""

    run: int
    name: str
    spec: str
    """The whole spec as TOML, with the live settings in force."""
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
    goal: int | None = None
    """Step at which the run ends by itself, None for never."""
    floors: Floors = Floors()
    warnings: tuple[str, ...] = ()
    title: str = ""
    text: str = ""
    knobs: tuple[str, ...] = ()
    log: str = ""
    """File that holds the engine's log and tracebacks."""


class Ready(Event, frozen=True, tag="ready"):
    """A run is loaded, paused at step 0 (or being started)."""

    info: RunInfo


class Change(Struct, frozen=True):
    """One live setting, as text, before and after."""

    path: str
    old: str
    new: str


class Accepted(Event, frozen=True, tag="accepted"):
    """A command took effect before the step after `step`."""

    command: int
    text: str
    """One line for the journal: `optim.lr 0.001 -> 0.0001`."""
    changes: tuple[Change, ...] = ()
    info: RunInfo | None = None
    """The run's new description where settings changed."""


class Refused(Event, frozen=True, tag="refused"):
    """A command had no effect, and why."""

    command: int
    text: str


class StateChanged(Event, frozen=True, tag="state"):
    state: State
    reason: str = ""
    """One sentence for the reader; '' where the state says it all."""


class Noted(Event, frozen=True, tag="noted"):
    """A remark or warning for the journal."""

    text: str
    warning: bool = False


class Failed(Event, frozen=True, tag="failed"):
    """Loading or training failed: one sentence, and the log that has the traceback."""

    text: str
    log: str = ""
    path: str = ""
    """The setting at fault, where it is one."""


# --- from the engine: views ---------------------------------------------------------------------


class Status(Struct, frozen=True, kw_only=True):
    """The figures of the status line, at `step`."""

    state: State = "loading"
    step: int = 0
    epoch: float = 0.0
    steps_per_second: float | None = None
    lr: float | None = None
    """Learning rate of the next step."""
    base_lr: float | None = None
    """optim.lr, which the schedule multiplies."""
    loss: float | None = None
    """Reconstruction term of the last step's training loss: what the floors are compared with."""
    grad_norm: float | None = None
    """Joint norm before clipping."""
    threshold: float | None = None
    clipped_share: float | None = None
    """Share of the last 100 steps in which clipping changed the gradient."""
    validation_loss: float | None = None
    explained_variance: float | None = None
    explained_step: int = 0
    """Step at which explained variance and the validation loss were measured."""
    memory: int | None = None
    """Bytes in use on the device, or resident in the engine on a CPU."""
    queued: int = 0
    """Commands that wait for the step in progress."""


class History(Struct, frozen=True):
    """Per-step records from step `start` + 1 on, possibly not yet all."""

    start: int
    loss: Array
    """Reconstruction term of the loss in train mode, shape (n,)."""
    total: Array | None
    """Loss with penalties, where it differs, shape (n,)."""
    grad_norm: Array
    end: int
    """Steps recorded so far; above start + n there is more to fetch."""


class Point(Struct, frozen=True):
    """A measurement at a step on the validation part (or on the probe set, `validation` None)."""

    step: int
    validation: float | None
    explained: float | None


class Variance(Struct, frozen=True, kw_only=True):
    """Per-feature variance over the probe set. Groups of neighbors where there are too many."""

    version: int
    step: int
    output: Array
    """Var(output_j), shape (groups,)."""
    data: Array
    """Var(target_j), shape (groups,)."""
    group: int = 1
    """Features per group."""
    features: int
    low: int
    """Features that vary in the data and less than 10 % as much in the output."""
    constant: int
    """Features constant in the data."""
    quantiles: tuple[float, ...]
    """min, p10, median, p90, max of the ratio over features that vary in the data; () if none."""


class Code(Struct, frozen=True, kw_only=True):
    """The code over the probe set."""

    version: int
    step: int
    points: Array
    """First two principal components of the code, shape (n, 2)."""
    shares: tuple[float, float]
    """Share of the code's variance along each."""
    labels: tuple[int, ...]
    """Class of each point, or ()."""
    width: int
    effective_rank: float
    active: int
    """Units whose variance over the probe set exceeds 0.01 of the largest's; for a VAE, 0.01 (Burda et al. 2016)."""
    variances: Array
    """Per unit, shape (width,)."""


class Pair(Struct, frozen=True):
    """One sample beside its reconstruction, in the model's own scale."""

    title: str
    input: Array
    output: Array
    error: float
    """Its reconstruction loss."""


class Pairs(Struct, frozen=True, kw_only=True):
    version: int
    step: int
    first: int
    count: int
    """Samples to page through."""
    low: float
    high: float
    """Value range of the data, for a common scale."""
    pairs: tuple[Pair, ...]


class Layer(Struct, frozen=True, kw_only=True):
    name: str
    shape: tuple[int, ...]
    weight_norm: float
    grad_norm: float | None
    update_ratio: float | None
    """Norm of the last update / norm of the weights."""
    dead: int | None
    """Units that do not vary over the probe set; None where the layer has no units."""
    units: int | None


class Layers(Struct, frozen=True, kw_only=True):
    version: int
    step: int
    layers: tuple[Layer, ...]


class Diagnosis(Struct, frozen=True, kw_only=True):
    """What the run's evidence says at a step."""

    version: int
    step: int
    report: Report
    stage: str = ""
    """What the probes are busy with, such as `probe 2 of 5: learning rate / 10`; '' while none runs."""
    probed: bool = False
    """Whether the findings were checked with probes."""


class View(Struct, frozen=True, kw_only=True, tag_field="type", tag="view"):
    """The answer to a look."""

    run: int
    status: Status
    history: History | None = None
    points: tuple[Point, ...] = ()
    variance: Variance | None = None
    code: Code | None = None
    pairs: Pairs | None = None
    layers: Layers | None = None
    diagnosis: Diagnosis | None = None


class Hello(Struct, frozen=True, tag_field="type", tag="hello"):
    """First message on a connection, from the engine."""

    version: int
    pid: int


Commands = Run | Pause | Set | Nudge | New | Examine | Stop
Request = Commands | Look
Events = Loading | Ready | Accepted | Refused | StateChanged | Noted | Failed
Reply = Hello | View | Events

GAUGES = ("variance", "code", "pairs", "layers", "diagnosis")


class Link(Protocol):
    """What a screen holds of its engine, in either placement."""

    def connect(self, deliver: Callable[[Reply], None], lost: Callable[[str], None]) -> None:
        """Start delivering replies, from another thread; `lost` gets one sentence when the engine is gone."""
        ...

    def send(self, request: Request) -> None:
        """Hand over a request without waiting; requests before the engine is up are kept."""
        ...

    def close(self) -> None:
        """Let go of the engine: it ends unless something else holds it."""
        ...
