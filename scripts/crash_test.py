"""Kill an engine with SIGKILL at random moments, go on with its run each time, and compare the weights in the end.

    python scripts/crash_test.py [--kills 200] [--seed 0] [--case NAME] [--share 1.0]

After each kill the record has to be readable with plain SQLite, and complete up to the last second: whatever the engine
said that it had trained 1.5 s before the kill, and every tweak that it accepted. A run that is not killed any more
has to end in the weights of one that never was. `--share` trains so much of each plan only.

The engines are forked from a process that has loaded PyTorch and has no threads, which saves most of a start.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import select
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))
import crash_plans
import safetensors.torch  # noqa: F401
import torch._dynamo  # noqa: F401
from crash_plans import Act, Plan, Tweaks

from aetui import RunSpec, Trainer
from aetui import protocol as p
from aetui.engine.worker import Engine
from aetui.spec import changed, dumps
from aetui.training.spec_training import trainer_of

LAG = 1.5
"""Seconds before a kill of which the record may know nothing."""
PATIENCE = 900.0
"""Seconds until a run that is left alone counts as stuck: a whole plan, on a machine that is busy with other things."""
LIVES = 22
"""Kills of one run at most."""


# --- in the forked process ----------------------------------------------------------------------


class Told:
    """Writes lines to the process that kills."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, kind: str, *values: Any) -> None:
        os.write(self._descriptor, (json.dumps([kind, time.monotonic(), *values]) + "\n").encode())


class Life:
    """One engine, from its start to its end, if it comes to that."""

    def __init__(self, plan: Plan, name: str, folder: Path | None, tell: Told) -> None:
        self.plan, self.tell = plan, tell
        self.engine = Engine(name)
        self._events: list[Any] = []
        self._news = threading.Condition()
        self.engine.join(self._take)
        self.thread = threading.Thread(target=self.engine.work, daemon=True)
        self.thread.start()
        self._ids = itertools.count(1)
        if folder is None:
            self.do(p.New, spec=dumps(changed(RunSpec(), plan.settings)))
        else:
            self.do(p.Open, folder=str(folder))

    def _take(self, event: Any) -> None:
        with self._news:
            self._events.append(event)
            self._news.notify_all()
        if isinstance(event, p.Accepted) and event.changes:
            self.tell("tweak", event.seq)
        elif isinstance(event, p.Noted) and event.warning:
            self.tell("warning", event.text)

    def wait(self, found: Callable[[Any], bool], since: int) -> Any:
        end = time.monotonic() + PATIENCE
        while True:
            with self._news:
                for event in self._events[since:]:
                    if isinstance(event, p.Refused | p.Failed):
                        raise RuntimeError(event.text)
                    if found(event):
                        return event
                self._news.wait(0.03)
            self.progress()
            if time.monotonic() > end:
                raise RuntimeError(f"nothing happened: {self._events[-5:]}")

    def progress(self) -> None:
        """Say how far the record should have come when a second has passed."""
        run = self.engine.run
        if run is not None and run.recording is not None:
            at = run.recording.position
            self.tell("at", at.branch, at.step)

    def do(self, kind: type[p.Command], **fields: Any) -> Any:
        command, before = kind(id=next(self._ids), **fields), len(self._events)
        self.engine.submit(command)  # pyright: ignore[reportArgumentType]
        return self.wait(lambda e: getattr(e, "command", None) == command.id, before)

    def train_to(self, step: int) -> None:
        count = step - self.trainer.steps
        if count > 0:
            before = len(self._events)
            self.do(p.Run, steps=count)
            rest = ("paused", "finished")
            self.wait(lambda e: isinstance(e, p.StateChanged) and e.state in rest and e.step == step, before)

    @property
    def trainer(self) -> Trainer:
        assert self.engine.run is not None
        return trainer_of(self.engine.run.training)

    def done(self) -> int:
        """How many acts of the plan the record has."""
        recording = self.engine.run.recording  # pyright: ignore[reportOptionalMemberAccess]
        assert recording is not None
        force: Tweaks = tuple((one.step, tuple(one.changes.items())) for one in recording.tweaks_on_path())
        made, marks = recording.read(lambda database: len(database.tweaks())), self.plan.marks()
        if (made, force) in marks:
            return marks.index((made, force))
        # Between the undos that stand for one rewind.
        before = (mark for mark, (many, _) in enumerate(marks[:-1]) if many == made and marks[mark + 1][0] == made)
        return next(mark for mark in before if force[: len(marks[mark + 1][1])] == marks[mark + 1][1])

    def live(self) -> None:
        """Do what is left of the plan, and end."""
        self.tell("loaded", self.trainer.steps)
        done = self.done()
        nudges: list[Act] = []
        for act, (_, force) in zip(self.plan.acts[done:], self.plan.marks()[done + 1 :], strict=True):
            if act.kind == "nudge":
                nudges.append(act)
                continue
            self.hold(nudges)
            nudges = []
            self.train_to(act.step)
            if act.kind == "tweak":
                self.do(p.Set, changes=dict(act.changes))
            else:
                self.go_back(act.kind, len(force))
        self.hold(nudges)
        self.train_to(self.plan.goal)
        self.tell("ending")
        self.engine.submit(p.Stop(id=0))
        self.thread.join(PATIENCE)
        if self.thread.is_alive():
            raise RuntimeError("the engine does not end")
        self.tell("done", self.trainer.weights_sha256())

    def hold(self, acts: list[Act]) -> None:
        """Press a key at the steps of `acts` while the run trains, without a pause between."""
        if not acts:
            return
        trainer, advance, due = self.trainer, self.trainer.advance, {act.step for act in acts}

        def advance_and_press() -> bool:
            finite = advance()
            if trainer.steps in due:
                self.engine.submit(p.Nudge(id=next(self._ids), by=-1))
            return finite

        if trainer.steps in due:
            self.do(p.Nudge, by=-1)
        trainer.advance = advance_and_press
        self.train_to(acts[-1].step + 1)
        trainer.advance = advance

    def go_back(self, kind: str, wanted: int) -> None:
        """Return to where so many tweaks are in force."""
        recording = self.engine.run.recording  # pyright: ignore[reportOptionalMemberAccess]
        assert recording is not None
        while len(tweaks := recording.tweaks_on_path()) > wanted:
            recording.writer.wait_saved()
            found = [
                place.checkpoint
                for place in recording.places()
                if place.step == tweaks[wanted].step and place.on_path and place.reason.startswith("before")
            ]
            if kind == "rewind" and found:
                self.do(p.Rewind, checkpoint=found[0])
            else:
                # A kill may have come before the checkpoint was written; the journal leads there anyway.
                self.do(p.Undo)


def trained(plan: Plan) -> str:
    """The weights of a run that nothing happened to."""
    trainer = Trainer(changed(RunSpec(), plan.settings))
    for step, changes in plan.marks()[-1][1]:
        while trainer.steps < step:
            trainer.advance()
        trainer.set(dict(changes), text=True)
    while trainer.steps < plan.goal:
        trainer.advance()
    return trainer.weights_sha256()


def forked(work: Callable[[Told], None]) -> tuple[int, int]:
    """A process that does the work; its number, and where to read what it tells."""
    reader, writer = os.pipe()
    process = os.fork()
    if process:
        os.close(writer)
        return process, reader
    tell, status = Told(writer), 1
    try:
        work(tell)
        status = 0
    except BaseException as error:  # noqa: BLE001
        tell("error", f"{type(error).__name__}: {error}")
    finally:
        os._exit(status)


# --- in the process that kills ------------------------------------------------------------------


@dataclass
class Lines:
    """What a life tells, as it comes."""

    descriptor: int
    all: list[list[Any]] = field(default_factory=list)
    over: bool = False
    _rest: bytes = b""

    def read(self, until: float, wanted: str = "") -> bool:
        """Read up to a time, or until a line of the wanted kind comes or nothing more can; whether that was so."""
        while not self.over:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.descriptor], [], [], left)[0]:
                return False
            data = os.read(self.descriptor, 65536)
            self.over = not data
            *lines, self._rest = (self._rest + data).split(b"\n")
            new = [json.loads(line) for line in lines]
            self.all += new
            if any(line[0] == wanted for line in new):
                return True
        return True

    def last(self, kind: str) -> list[Any] | None:
        return next((line for line in reversed(self.all) if line[0] == kind), None)


@dataclass
class Tally:
    kills: int = 0
    runs: int = 0
    lost: int = 0
    differ: int = 0
    moments: dict[str, int] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


def read_record(database: Path) -> dict[str, Any] | None:
    """The record as plain SQLite has it; None where a run had not begun."""
    with closing(sqlite3.connect(database)) as sql:
        if sql.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            raise RuntimeError("the record is damaged")
        if not sql.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchall():
            return None
        meta = dict(sql.execute("SELECT key, value FROM meta"))
        if "spec" not in meta:
            return None
        starts = dict(sql.execute("SELECT id, coalesce(step, 0) FROM branches"))
        ends = dict(starts)
        for branch, start, count in sql.execute("SELECT branch, start, count FROM history ORDER BY branch, start"):
            if ends[branch] != start:
                raise RuntimeError(f"branch {branch} has no history from step {ends[branch]} to {start}")
            ends[branch] = start + count
        seqs = {row[0] for row in sql.execute("SELECT seq FROM events WHERE changes IS NOT NULL")}
        return {"ends": ends, "tweaks": seqs}


def missing(lines: Lines, record: dict[str, Any], killed: float) -> str:
    """What the record should have and has not, '' if nothing."""
    for line in lines.all:
        if line[0] == "tweak" and line[2] not in record["tweaks"]:
            return f"the tweak that was event {line[2]}"
    old = [line for line in lines.all if line[0] == "at" and line[1] < killed - LAG]
    if old:
        _, when, branch, step = old[-1]
        if record["ends"].get(branch, -1) < step:
            return f"step {step} of branch {branch}, trained {killed - when:.2f} s before; it has {record['ends']}"
    return ""


def go_through(case: str, plan: Plan, name: str, draw: random.Random, most: int, tally: Tally) -> None:
    """One run of a plan, killed up to `most` times."""
    process, reader = forked(lambda tell: tell("done", trained(plan)))
    lines = Lines(reader)
    lines.read(time.monotonic() + PATIENCE, "done")
    os.waitpid(process, 0)
    os.close(reader)
    wanted = lines.last("done")
    if wanted is None:
        error = lines.last("error")
        raise SystemExit(f"{case} can't be trained: {error[2] if error else f'no end after {PATIENCE:.0f} s'}")
    folder = Path(os.environ["AETUI_HOME"]) / "runs" / name
    kills = 0
    tally.runs += 1
    while True:
        begun = folder.exists() and (folder / "run.db").exists() and read_record(folder / "run.db") is not None
        if not begun:
            shutil.rmtree(folder, ignore_errors=True)
        process, reader = forked(lambda tell: Life(plan, name, folder if begun else None, tell).live())  # noqa: B023
        lines = Lines(reader)
        moment = "never"
        if kills < most:
            moment = _choose_moment(lines, draw)
        else:
            lines.read(time.monotonic() + PATIENCE, "done")
        killed = time.monotonic()
        if moment != "never":
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        lines.read(time.monotonic() + PATIENCE)
        os.close(reader)
        error, warning, done = lines.last("error"), lines.last("warning"), lines.last("done")
        if error or warning:
            tally.troubles.append(f"{name}: {(error or warning or [])[2]}")
        if error:
            tally.lost += 1
            return
        if moment != "never" and done is None:
            kills += 1
            tally.kills += 1
            tally.moments[moment] = tally.moments.get(moment, 0) + 1
        if lines.last("loaded") or begun:
            record = read_record(folder / "run.db")
            lost = "all of it" if record is None else missing(lines, record, killed)
            if lost:
                tally.lost += 1
                tally.troubles.append(f"{name}: the record lacks {lost}")
                return
        if done is not None:
            break
    if done[2] != wanted[2]:
        tally.differ += 1
        tally.troubles.append(f"{name}: other weights than the run that was left alone")
    stray = [file.name for file in folder.glob("checkpoints/*.partial")]
    if stray:
        tally.troubles.append(f"{name}: left behind: {', '.join(stray)}")
    shutil.rmtree(folder)


def _choose_moment(lines: Lines, draw: random.Random) -> str:
    """Wait for a moment to kill at; what the engine was about to do then."""
    start, kind = time.monotonic(), draw.random()
    if kind < 0.15:
        lines.read(start + draw.uniform(0.0, 0.5), "done")
    elif kind < 0.23:
        if lines.read(start + 8.0, "ending"):
            lines.read(time.monotonic() + draw.uniform(0.0, 0.1), "done")
    else:
        lines.read(start + draw.uniform(0.05, 3.0), "done")
    for sign, name in (("done", "never"), ("ending", "closing"), ("loaded", "training")):
        if lines.last(sign):
            return name
    return "loading"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", choices=crash_plans.CASES)
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    tally = Tally()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aetui-crash-") as home:
        os.environ["AETUI_HOME"] = home
        cases = [options.case] if options.case else list(crash_plans.CASES)
        for number, case in enumerate(itertools.cycle(cases)):
            if tally.kills >= options.kills:
                break
            plan = crash_plans.plan(case, options.seed + number, Path(home), options.share)
            before = tally.kills
            most = min(LIVES, options.kills - tally.kills)
            go_through(case, plan, f"{case}-{number}", draw, most, tally)
            print(f"{case}: {tally.kills - before} kills, {len(plan.acts)} acts, {plan.goal} steps", flush=True)
    for trouble in tally.troubles:
        print(trouble)
    moments = ", ".join(f"{count} in {name}" for name, count in sorted(tally.moments.items()))
    print(f"{tally.runs} runs, {time.monotonic() - started:.0f} s; killed {moments}")
    print(f"{tally.kills} kills, {tally.lost} runs lost, {tally.differ} weights differ")
    if tally.lost or tally.differ or tally.troubles:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
