"""How a run stands: asked of its engine while it is alive, else read from its record."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgspec
from msgspec import Struct

from aetui import protocol as p
from aetui.cli.runs import found_run
from aetui.cli.talk import Talk
from aetui.runs.database import DamagedDatabase, Database
from aetui.runs.folder import RunFolder
from aetui.runs.judged import Judged, judged_of
from aetui.runs.summary import summary
from aetui.runs.tree import Tree
from aetui.spec import Problem, SpecError
from aetui.training.records import Records

GAUGES = ("variance", "diagnosis")
"""What an engine is asked to measure."""
_FRESH = 4.0
"""Seconds to wait for gauges of the present step; after that the last ones are taken, with their step."""
_GLANCE = 0.1
_LAST = 100
"""Steps over which the share of clipping is taken."""


class Standing(Struct, frozen=True, kw_only=True):
    """Figures of a run; those of another step than `step` say of which."""

    run: str
    kind: str
    """`spec`, or `own loop` where a script trains it."""
    state: str
    reason: str = ""
    engine: int | None = None
    """Process that trains it, None if none does."""
    source: str = ""
    step: int = 0
    goal: int | None = None
    epoch: float | None = None
    steps_per_second: float | None = None
    seconds_left: float | None = None
    """Up to the goal, None where there is none, at rest and while the run warms up."""
    ends: float | None = None
    """When that is, in seconds since the epoch."""
    device: str = ""
    dtype: str = ""
    memory: int | None = None
    """Bytes in use on the device, or resident in the engine on a CPU."""
    slowed: str = ""
    """What on the machine slows the run."""
    stalled: str = ""
    """Where a step is that takes long."""
    settings: dict[str, str] = {}
    """Those in force, by path."""
    lr: float | None = None
    """Learning rate of the next step."""
    loss: float | None = None
    """Reconstruction term of the last step."""
    total: float | None = None
    """Its loss with penalties, where that is another."""
    parts: dict[str, float | None] = {}
    """What else a loop of the user's own logged of it, by name."""
    grad_norm: float | None = None
    """Joint norm before clipping."""
    clipped_share: float | None = None
    """Of the last 100 steps."""
    validation_loss: float | None = None
    explained_variance: float | None = None
    explained_step: int | None = None
    variance_ratio: dict[str, float | int | None] = {}
    """min, p10, median, p90, max and `below_0.1` over the features that vary, `features`."""
    variance_step: int | None = None
    floors: dict[str, float | None] = {}
    judged: Judged | None = None
    unjudged: str = ""
    """Why there is no verdict, where there is none."""
    age: float | None = None
    """Seconds since the figures of the last step were taken."""
    unsaved: str = ""
    """Why not all of it is stored, where that is so."""


def which(name: str | None, command: str) -> RunFolder:
    """The run of that name; without one, that which trains, or is alive, or changed last.

    Raises:
        SpecError: there is none.
    """
    if name is not None:
        return found_run(name, command)
    found = [(summary(folder), folder) for folder in RunFolder.all()]
    if not found:
        raise SpecError([Problem(command, "no run is stored")])
    return min(found, key=lambda one: (one[0].engine is None, one[0].state != "running", one[0].age))[1]


# --- of an engine -------------------------------------------------------------------------------


def of_engine(talk: Talk, engine: int | None, patience: float = _FRESH) -> Standing:
    """How a run stands whose engine runs. patience: seconds to wait for gauges of the present step.

    Raises:
        NoAnswer: the engine does not say.
    """
    info = talk.info or talk.join()
    view = fresh_view(talk, GAUGES, patience)
    view = talk.view(GAUGES, since=max(0, view.status.step - 1))
    info = talk.info or info
    status, history, ratio, floors = view.status, view.history, view.variance, info.floors
    stall, total = status.stalled, None
    if history is not None and history.total is not None and status.loss is not None:
        total = float(history.total.numpy()[-1])
    return Standing(
        run=info.name or talk.name,
        kind="spec" if info.spec else "own loop",
        state=status.state,
        reason=talk.reason,
        engine=engine,
        source=info.source,
        step=status.step,
        goal=info.goal,
        epoch=status.epoch if status.epoch else None,
        steps_per_second=status.steps_per_second,
        seconds_left=status.seconds_left,
        ends=None if status.seconds_left is None else time.time() + status.seconds_left,
        device=info.device,
        dtype=info.dtype,
        memory=status.memory,
        slowed=status.slowed,
        stalled=_stalled(stall) if stall is not None else "",
        settings={one.path: one.value for one in info.settings},
        lr=status.lr,
        loss=status.loss,
        total=None if total == status.loss else total,
        parts={} if history is None else {name: float(part.numpy()[-1]) for name, part in history.parts.items()},
        grad_norm=status.grad_norm,
        clipped_share=status.clipped_share,
        validation_loss=status.validation_loss,
        explained_variance=status.explained_variance,
        explained_step=status.explained_step if status.explained_variance is not None else None,
        variance_ratio={} if ratio is None else _ratio(ratio),
        variance_step=None if ratio is None else ratio.step,
        floors={"mean": floors.mean, "linear": floors.linear, "entropy": floors.entropy},
        judged=judged_in(view),
        unjudged=view.unknown.get("diagnosis", ""),
        age=_age(status, talk),
        unsaved=status.unsaved,
    )


def judged_in(view: p.View) -> Judged | None:
    """The report that a view has, of the step at which it was last found to hold."""
    found = view.diagnosis
    if found is None:
        return None
    return Judged(report=found.report, step=view.status.diagnosed or found.step, probed=found.probed)


def fresh_view(talk: Talk, gauges: tuple[str, ...], patience: float) -> p.View:
    """A view with gauges of no step before that of the first look, as far as they come within `patience` seconds."""
    first = view = talk.view(gauges, since=1 << 62)
    end = time.monotonic() + patience
    while time.monotonic() < end and not all(_is_fresh(view, name, first.status.step) for name in gauges):
        talk.pause(_GLANCE)
        view = talk.view(gauges, since=1 << 62)
    return view


def _is_fresh(view: p.View, name: str, step: int) -> bool:
    if name in view.unknown:
        return True
    gauge = getattr(view, name)
    at = view.status.diagnosed if name == "diagnosis" and view.status.diagnosed is not None else None
    return gauge is not None and (gauge.step if at is None else at) >= step


def _stalled(stall: p.Stall) -> str:
    where = ", ".join(filter(None, (stall.doing, stall.place)))
    return f"no step for {stall.seconds} s{f', in {where}' if where else ''}"


def _age(status: p.Status, talk: Talk) -> float | None:
    if status.state == "running":
        return float(status.stalled.seconds) if status.stalled is not None else 0.0
    return None if talk.since is None else max(0.0, time.time() - talk.since)


def _ratio(found: p.Variance) -> dict[str, float | int | None]:
    names = ("min", "p10", "median", "p90", "max")
    quantiles = dict(zip(names, found.quantiles, strict=False))
    return {**quantiles, "below_0.1": found.low, "features": found.features - found.constant}


# --- of a record --------------------------------------------------------------------------------


def of_record(folder: RunFolder, command: str) -> Standing:
    """How a run stands that nothing trains.

    Raises:
        SpecError: its record can't be read.
    """
    one = summary(folder)
    with reading(folder, command) as database:
        meta, tree = database.meta(), Tree.of(database)
        at = tree.stood(meta)
        path = tree.path_to(at)
        settings = tree.settings_on(path, meta)
        starts = [max(part.start, at.step - _LAST) for part in path]
        last = Records.joined(
            [
                database.history(part.branch, start, part.end)
                for part, start in zip(path, starts, strict=True)
                if part.end > start
            ]
        )
        points = database.points(path)
        states = [event for event in database.events() if event.kind == "state"]
    judged = judged_of(meta.get("report"))
    validation, (explained_step, explained) = None, (None, None)
    for step, held_out, fit in points:
        validation = held_out if held_out is not None else validation
        if fit is not None:
            explained_step, explained = step, fit
    ratio = judged.report.variance_ratio if judged is not None else {}
    steps = len(last)
    total = float(last.total[-1]) if steps and last.total[-1] != last.loss[-1] else None
    return Standing(
        run=folder.name,
        kind="spec" if meta.get("spec") else "own loop",
        state=one.state,
        reason=states[-1].text if states and one.state in p.OVER and states[-1].text != one.state else "",
        source=one.source,
        step=at.step,
        goal=meta.get("wanted"),
        settings=settings,
        loss=float(last.loss[-1]) if steps else None,
        total=total,
        parts={name: float(values[-1]) for name, values in last.parts.items()} if steps else {},
        grad_norm=float(last.grad_norm[-1]) if steps else None,
        clipped_share=float(last.clipped.astype(float).mean()) if steps and last.clipped.any() else None,
        validation_loss=validation,
        explained_variance=explained,
        explained_step=explained_step,
        variance_ratio=dict(ratio),
        variance_step=judged.step if ratio and judged is not None else None,
        floors=dict(judged.report.floors) if judged is not None else {},
        judged=judged,
        unjudged="" if judged is not None else "the record has none",
        age=one.age,
    )


@contextmanager
def reading(folder: RunFolder, command: str) -> Iterator[Database]:
    """The record of a run, to be read.

    Raises:
        SpecError: it can't be.
    """
    try:
        with closing(Database(folder.database, write=False)) as database:
            yield database
    except (DamagedDatabase, sqlite3.Error, KeyError, ValueError) as error:
        text = f"the record of {folder.name} can't be read: {error}; aetui runs show {folder.name} tells more"
        raise SpecError([Problem(command, text)]) from None


# --- as JSON ------------------------------------------------------------------------------------


def plain(one: Standing) -> dict[str, Any]:
    """As values of JSON; figures that are not finite are None, and the verdict is an object of its own."""
    found = {key: value for key, value in msgspec.to_builtins(one).items() if key not in ("judged", "unjudged")}
    judged = one.judged
    found["verdict"] = judged.report.verdict or "learning" if judged is not None else None
    found["verdict_step"] = judged.step if judged is not None else None
    found["headline"] = judged.report.headline if judged is not None else one.unjudged
    findings = judged.report.findings if judged is not None else ()
    found["findings"] = [
        {"cause": finding.cause, "title": finding.title, "confidence": finding.confidence} for finding in findings
    ]
    return {key: _finite(value) for key, value in found.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
