"""The screen's picture of a run, put together from events and views.

Panes read it and never change it. `versions` counts changes by topic, so that a pane can tell
cheaply whether anything it draws has moved: `run` (another run or its settings), `status`,
`history`, `points`, `journal`, and the gauges `variance`, `code`, `pairs`, `layers`, `diagnosis`.
"""

import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from aetui import protocol as p
from aetui.spec import RunSpec, loads
from aetui.tui.series import Series


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    step: int
    time: float
    kind: str
    """`state`, `tweak`, `note`, `warning` or `error`."""
    text: str


@dataclass(frozen=True)
class Mark:
    """A step worth marking on the loss chart: a tweak or a pause."""

    step: int
    text: str
    kind: str
    """`tweak`, `pause` or `non-finite`."""


@dataclass(frozen=True)
class _Tweak:
    """The last change of a single setting, and where it stands."""

    step: int
    path: str
    old: str
    entry: Entry
    mark: Mark


@dataclass
class RunModel:
    """Everything a screen knows about its run."""

    stage: str = "starting the engine"
    """What the engine is busy with while loading."""
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
    points: list[p.Point] = field(default_factory=list)
    variance: p.Variance | None = None
    code: p.Code | None = None
    pairs: p.Pairs | None = None
    layers: p.Layers | None = None
    diagnosis: p.Diagnosis | None = None
    journal: list[Entry] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    _last_tweak: _Tweak | None = None
    behind: bool = False
    """The engine has more history to fetch."""

    def look(self, gauges: list[str], sample: int) -> p.Look:
        """The request for what this model lacks."""
        have = {name: getattr(getattr(self, name), "version", 0) for name in gauges}
        run = self.info.run if self.info else 0
        return p.Look(run=run, since=len(self.loss), points=len(self.points), have=have, sample=sample)

    def absorb(self, reply: p.Reply) -> None:
        """Take in a message of the engine; those of an earlier run are dropped."""
        if isinstance(reply, p.View):
            self._absorb_view(reply)
        elif isinstance(reply, p.Event):
            self._absorb_event(reply)

    def _absorb_view(self, view: p.View) -> None:
        if self.info is None or view.run != self.info.run:
            return
        self.received = time.monotonic()
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
            self.behind = history.end > len(self.loss)
            self.versions["history"] += 1
        if view.points:
            self.points.extend(view.points)
            self.versions["points"] += 1
        for name in p.GAUGES:
            gauge = getattr(view, name)
            if gauge is not None:
                setattr(self, name, gauge)
                self.versions[name] += 1

    def _absorb_event(self, event: p.Event) -> None:
        match event:
            case p.Loading():
                self.error, self.stage = "", event.stage
                self.versions["status"] += 1
            case p.Ready():
                self._start_over(event.info)
                self._log(event, "state", f"loaded {event.info.source}, {event.info.architecture}")
                for warning in event.info.warnings:
                    self._log(event, "warning", warning)
            case p.Accepted():
                if event.info is not None:
                    self.info, self.spec = event.info, loads(event.info.spec)
                    self.versions["run"] += 1
                if event.changes:
                    self._absorb_tweak(event)
            case p.Refused():
                self._log(event, "error", event.text)
            case p.StateChanged():
                self._absorb_state(event)
            case p.Noted():
                self._log(event, "warning" if event.warning else "note", event.text)
            case p.Failed():
                self.error = event.text
                self._log(event, "error", event.text)
                self.versions["status"] += 1
            case _:
                pass

    def _absorb_tweak(self, event: p.Accepted) -> None:
        """Into the journal and onto the chart; a setting moved again at the same step stays one tweak."""
        text = event.text
        last, first = self._last_tweak, event.changes[0]
        single = len(event.changes) == 1
        same = last is not None and (last.step, last.path) == (event.step, first.path)
        if last is not None and single and same and self.journal[-1] is last.entry:
            text = text.replace(f"{first.path} {first.old} ->", f"{first.path} {last.old} ->", 1)
            self.journal.pop()
            self.marks.remove(last.mark)
        else:
            last = None
        mark = Mark(event.step, text, "tweak")
        self.marks.append(mark)
        self._log(event, "tweak", text)
        old = last.old if last is not None else first.old
        self._last_tweak = _Tweak(event.step, first.path, old, self.journal[-1], mark) if single else None

    def _absorb_state(self, event: p.StateChanged) -> None:
        before = self.status.state
        self.status = replace(self.status, state=event.state, step=max(event.step, self.status.step))
        self.reason = event.reason
        self.versions["status"] += 1
        if event.state == before:
            return
        self._log(event, "state", event.reason or event.state)
        if event.step and event.state in ("paused", "finished", "non-finite", "failed"):
            kind = "non-finite" if event.state == "non-finite" else "pause"
            self.marks.append(Mark(event.step, event.reason or event.state, kind))

    def _start_over(self, info: p.RunInfo) -> None:
        self.info, self.spec = info, loads(info.spec)
        self.error, self.reason, self.stage = "", "", ""
        self.status = p.Status(state="paused")
        self.loss, self.total, self.grad_norm = Series(), Series(), Series()
        self.points, self.marks, self.behind = [], [], False
        self._last_tweak = None
        self.variance = self.code = self.pairs = self.layers = self.diagnosis = None
        for topic in ("run", "status", "history", "points", *p.GAUGES):
            self.versions[topic] += 1

    def _log(self, event: p.Event, kind: str, text: str) -> None:
        self.journal.append(Entry(event.step, event.time, kind, text))
        self.versions["journal"] += 1
