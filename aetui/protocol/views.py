"""What a screen sees when it looks."""

from __future__ import annotations

from msgspec import Struct

from aetui.protocol.trying import TryState
from aetui.protocol.values import Array, State
from aetui.report import Report


class Stall(Struct, frozen=True):
    """No step, and no other sign of progress, for some seconds."""

    seconds: int
    doing: str
    """What is under way: `forward of Net`; '' where that is not known."""
    place: str = ""
    """The line of the user's own code that it has come to: `mine.py, line 12`, '' for none."""


class Status(Struct, frozen=True, kw_only=True):
    """The figures of the status line, at `step`."""

    state: State = "loading"
    step: int = 0
    epoch: float | None = 0.0
    steps_per_second: float | None = None
    seconds_left: float | None = None
    """Up to the run's goal at the speed of the last minute; None without a goal, at rest and while it warms up."""
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
    diagnosed: int | None = None
    """Step at which the diagnosis was last found to hold, None before there is one."""
    memory: int | None = None
    """Bytes in use on the device, or resident in the engine on a CPU."""
    screens: int = 0
    """Screens that are attached to the engine."""
    unsaved: str = ""
    """Why the store does not take the run at present, '' while it does."""
    queued: int = 0
    """Commands that wait for the step in progress."""
    crowded: bool = False
    """Whether other programs keep all cores busy, where one thread would serve the run better than its several."""
    slowed: str = ""
    """What on the machine slows the run, such as `3 other processes on 2 cores`; '' for nothing."""
    stalled: Stall | None = None
    """What takes so long, None while the run gets on or rests."""


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
    parts: dict[str, Array] = {}
    """What else a loop of the user's own logged, by name, NaN where it logged nothing of that name, shape (n,)."""


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
    kl: float | None = None
    """Of the code's distribution in nats, mean over the rows, None where it is not known."""
    unit_kl: Array | None = None
    """Its share of each unit, shape (width,), None where the total alone is known."""


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
    updated: int | None = None
    """Step whose update the ratios are of, None where no update was measured."""


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
    trial: TryState | None = None
    """The experiment on forks of the run, where the screen has not seen it as it is now."""
    unknown: dict[str, str] = {}
    """Of the gauges that were asked for, why those can't be measured that can't."""
