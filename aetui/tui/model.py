"""The screen's picture of a run, put together from events and views.

Panes read it and never change it. `versions` counts changes by topic, so that a pane can tell
cheaply whether anything it draws has moved: `run` (another run or its settings), `status`,
`history`, `points`, `journal`, and the gauges `variance`, `code`, `pairs`, `layers`, `diagnosis`.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from aetui import protocol as p
from aetui.spec import RunSpec
from aetui.tui import journal_entries
from aetui.tui.asked import Asked
from aetui.tui.journal_entries import Entry, JournalEntries, Mark
from aetui.tui.series import Series
from aetui.tui.step_times import StepTimes
from aetui.tui.told import spec_of

_MOST_RATES = 8192
"""Learning rates kept; of more, every other one is dropped."""


@dataclass
class RunModel:
    """Everything a screen knows about its run."""

    stage: str = "starting the engine"
    """What the engine is busy with while loading."""
    where: str = ""
    """Where in its code the engine is with it, once that takes long."""
    since: float = field(default_factory=time.monotonic)
    """time.monotonic() at the beginning of the stage."""
    asked: Asked = field(default_factory=Asked)
    """What keys have asked for and is not acknowledged yet."""
    error: str = ""
    """Why there is no run to show, '' if there is one."""
    info: p.RunInfo | None = None
    spec: RunSpec = field(default_factory=RunSpec)
    status: p.Status = field(default_factory=p.Status)
    reason: str = ""
    """Why the run is in its state, where there is more to say."""
    received: float = 0.0
    """time.monotonic() of the last view, for the age of the figures."""
    loss: Series = field(default_factory=Series)
    total: Series = field(default_factory=Series)
    grad_norm: Series = field(default_factory=Series)
    parts: dict[str, Series] = field(default_factory=dict)
    """What else a loop of the user's own logs, by name."""
    penalties: Series = field(default_factory=Series)
    """What is added to the reconstruction term; empty where nothing is."""
    rates: list[tuple[int, float]] = field(default_factory=list)
    """Steps, and the learning rate of the one that follows, as far as this screen saw them."""
    times: StepTimes = field(default_factory=StepTimes)
    points: list[p.Point] = field(default_factory=list)
    variance: p.Variance | None = None
    code: p.Code | None = None
    pairs: p.Pairs | None = None
    layers: p.Layers | None = None
    diagnosis: p.Diagnosis | None = None
    trial: p.TryState | None = None
    """The last experiment on forks, of this run or of one before it."""
    entries: JournalEntries = field(default_factory=JournalEntries)
    versions: Counter[str] = field(default_factory=Counter)
    behind: bool = False
    """The engine has more history to fetch."""
    read_only: bool = False
    """Whether this screen only watches."""
    loads: int = 0
    """Runs that were loaded; one that moves, or that another engine continues, stays the same."""

    @property
    def journal(self) -> Sequence[Entry]:
        return self.entries.shown

    @property
    def marks(self) -> Sequence[Mark]:
        """What stands on the chart: tweaks and stops on the way to where the run stands."""
        return self.entries.marks

    @property
    def code_width(self) -> int:
        """As the engine found it, where the spec leaves it to a user's own model."""
        return (self.info.code if self.info else 0) or self.spec.model.code

    def step_of(self, gauge: str) -> int | None:
        """The step that a gauge is of, None before it is measured."""
        found = getattr(self, gauge)
        if gauge == "diagnosis" and found is not None and self.status.diagnosed is not None:
            return self.status.diagnosed
        return None if found is None else found.step

    def look(self, gauges: list[str], sample: int) -> p.Look:
        """The request for what this model lacks."""
        have = {name: getattr(getattr(self, name), "version", 0) for name in gauges}
        run = self.info.run if self.info else 0
        trial = self.trial.version if self.trial is not None else 0
        return p.Look(run=run, since=len(self.loss), points=len(self.points), have=have, sample=sample, trial=trial)

    def ask(self, asked: Asked) -> None:
        """Take note of what is on its way."""
        if asked != self.asked:
            self.asked = asked
            self.versions["status"] += 1

    def absorb(self, reply: p.Reply) -> None:
        """Take in a message of the engine; views of an earlier run are dropped."""
        if isinstance(reply, p.View):
            self._absorb_view(reply)
        elif isinstance(reply, p.Past):
            self._absorb_past(reply)
        elif isinstance(reply, p.Event):
            self._absorb_event(reply)

    def _absorb_view(self, view: p.View) -> None:
        if self.info is None or view.run != self.info.run:
            return
        self.received = time.monotonic()
        if view.status.state == "running":
            self.times.add(view.status.step, time.time())
        if view.status.lr is not None:
            self._add_rate(view.status.step, view.status.lr)
        if view.status != self.status:
            self.status = view.status
            self.versions["status"] += 1
        history = view.history
        if history is not None and history.start == len(self.loss):
            self.loss.append(history.loss.numpy())
            self.grad_norm.append(history.grad_norm.numpy())
            if history.total is not None:
                missing = history.start - len(self.total)
                self.total.append(np.full(missing, np.nan, np.float32))
                self.total.append(history.total.numpy())
                self.penalties.append(np.full(missing, np.nan, np.float32))
                self.penalties.append(history.total.numpy() - history.loss.numpy())
            for name, values in history.parts.items():
                series = self.parts.setdefault(name, Series())
                series.append(np.full(history.start - len(series), np.nan, np.float32))
                series.append(values.numpy())
            self.behind = history.end > len(self.loss)
            self.versions["history"] += 1
        if view.points:
            self.points.extend(view.points)
            self.versions["points"] += 1
        self.trial = view.trial or self.trial
        for name in p.GAUGES:
            gauge = getattr(view, name)
            if gauge is not None:
                setattr(self, name, gauge)
                self.versions[name] += 1

    def _absorb_event(self, event: p.Event) -> None:
        before = self.status.state
        match event:
            case p.Loading():
                if event.stage != self.stage:
                    self.since = time.monotonic()
                self.error, self.stage, self.where = "", event.stage, event.where
                self.versions["status"] += 1
            case p.Ready():
                self._load(event)
            case p.Moved():
                self._move(event)
            case p.Accepted():
                if event.info is not None:
                    self.info, self.spec = event.info, spec_of(event.info)
                    self.versions["run"] += 1
            case p.StateChanged():
                self._absorb_state(event)
            case p.Failed():
                self.error = event.text
                self.versions["status"] += 1
            case p.Ended():
                self._end(event)
            case _:
                pass
        self.times.add(event.step, event.time)
        line = journal_entries.entry_of(event)
        if line is not None and not (isinstance(event, p.StateChanged) and event.state == before):
            self._log(line)
        if isinstance(event, p.Ready):
            for warning in event.info.warnings:
                self._log(journal_entries.entry(event, "warning", warning))

    def _absorb_past(self, past: p.Past) -> None:
        """Into the journal and onto the chart; the last state is the run's own."""
        entries, last = journal_entries.past_entries(past.events)
        self.entries.insert_past(entries, self.info.path if self.info else ())
        self.times.add_past([(entry.step, entry.time) for entry in self.journal if not entry.left])
        self.versions["journal"] += 1
        if last is not None:
            self.status, self.reason = replace(self.status, state=last.state), last.reason
            self.versions["status"] += 1

    def _absorb_state(self, event: p.StateChanged) -> None:
        # The figures are those of the step that the last view had; the next one, which is on its way, moves both.
        self.status = replace(self.status, state=event.state)
        if self.status.loss is None:
            self.status = _at(self.status, event.step)
        self.reason = event.reason
        self.versions["status"] += 1

    def _load(self, event: p.Ready) -> None:
        info = event.info
        same = self.info is not None and bool(info.folder) and info.folder == self.info.folder
        self.loads += not same
        self.entries.start_over(same)
        if not same:
            self.rates, self.times = [], StepTimes()
        self._take(info, p.Status(state="paused", step=event.step))
        self.error, self.stage, self.reason = "", "", ""

    def _move(self, event: p.Moved) -> None:
        """The same run with another history: what it has left stays in the journal, and leaves the chart."""
        state = self.status.state
        if state not in ("running", "loading", "paused"):
            state, self.reason = "paused", ""
        self.error = ""
        self._take(event.info, p.Status(state=state, step=event.step))
        self.entries.follow(event.info.path)

    def _end(self, event: p.Ended) -> None:
        if self.info is None:
            self.error = event.text
        elif self.status.state not in ("failed", "non-finite"):
            self.status, self.reason = replace(_at(self.status, event.step), state="ended"), event.text
        self.versions["status"] += 1

    def _take(self, info: p.RunInfo, status: p.Status) -> None:
        """Begin a history."""
        self.info, self.spec, self.status = info, spec_of(info), status
        self.loss, self.total, self.grad_norm, self.parts = Series(), Series(), Series(), {}
        self.penalties = Series()
        self.rates = [pair for pair in self.rates if pair[0] <= status.step]
        self.points, self.behind = [], False
        self.variance = self.code = self.pairs = self.layers = self.diagnosis = None
        for topic in ("run", "status", "history", "points", *p.GAUGES):
            self.versions[topic] += 1

    def _add_rate(self, step: int, rate: float) -> None:
        """Keep what tells the rate of every step seen: of equal ones the first and the last."""
        rates = self.rates
        if rates and rates[-1][0] >= step:
            if rates[-1][1] != rate:
                rates[-1] = step, rate
            return
        if len(rates) > 1 and rates[-1][1] == rates[-2][1] == rate:
            rates.pop()
        rates.append((step, rate))
        if len(rates) > _MOST_RATES:
            del rates[1:-1:2]

    def _log(self, entry: Entry) -> None:
        self.entries.add(entry)
        self.versions["journal"] += 1


def _at(status: p.Status, step: int) -> p.Status:
    """A status at a later step, without the figures that are of another."""
    if step <= status.step:
        return status
    gone = ("epoch", "steps_per_second", "seconds_left", "loss", "grad_norm", "clipped_share")
    return replace(status, step=step, **dict.fromkeys(gone))
