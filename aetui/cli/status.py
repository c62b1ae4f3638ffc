"""`aetui status`: how a run stands, in one screenful or as JSON, once or again and again."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from aetui import protocol as p
from aetui.cli.lines import line_width
from aetui.cli.progress import say
from aetui.cli.standing import Standing, of_engine, of_record, plain, which
from aetui.cli.talk import NoAnswer, Talk
from aetui.report import LEARNING, VERDICTS, number
from aetui.runs.folder import RunFolder
from aetui.tui.figures import as_of, bytes_text, clock, duration

COMMAND = "aetui status"
_MOMENT = 2.0
"""Seconds from the last word of an engine to the end of its process."""
HOME, CLEAR = "\x1b[H", "\x1b[2J"
_NAMES = 20
"""Cells of the names."""
_TOLD = ("optim.kind", "optim.lr", "optim.momentum", "train.batch_size")
_USUAL = {"optim.weight_decay": "0", "optim.hold": "false", "schedule.kind": "constant"}
"""Settings that are told unless they have this value."""
_FINDINGS = 3
"""Findings that are named; the diagnosis has them all."""
_PATIENCE = 10.0
"""Seconds that an engine may take for an answer, which it gives in the middle of a step too."""


def show_status(name: str | None, *, as_json: bool, every: float | None = None) -> int:
    """Print how a run stands; status 1 where its engine does not say.

    every: seconds after which it is printed anew, until the run is over; None for once.

    Raises:
        SpecError: there is no such run, or its record can't be read.
    """
    folder = which(name, COMMAND)
    page = _Page(as_json=as_json, renewed=every is not None)
    try:
        for found in _standings(folder, every):
            page.show(found)
    except NoAnswer as error:
        say(f"{folder.name}: {error}")
        return 1
    except KeyboardInterrupt:
        if every is None:
            raise
    return 0


def _standings(folder: RunFolder, every: float | None) -> Iterator[Standing]:
    """How the run stands, again and again until it is over, or has no engine any more, whose record tells the rest.

    Raises:
        NoAnswer: its engine does not say.
        SpecError: its record can't be read, or its engine can't be trusted.
    """
    with ExitStack() as stack:
        talk, asked = None, time.monotonic()
        while (engine := folder.holder()) is not None:
            try:
                if talk is None:
                    talk = stack.enter_context(Talk(folder, COMMAND, _PATIENCE))
                    found = of_engine(talk, engine)
                else:
                    talk.pause(max(0.0, asked + (every or 0.0) - time.monotonic()))
                    asked = time.monotonic()
                    found = of_engine(talk, engine, patience=0.0)
            except NoAnswer:
                if not _gone(folder):
                    raise
                break
            yield found
            if every is None or found.state in p.OVER:
                return  # a run that is over stays as it is, and its engine is not to be kept up
    yield of_record(folder, COMMAND)


def _gone(folder: RunFolder) -> bool:
    """Whether the engine that has just stopped to answer has let go of its run, which takes a moment."""
    end = time.monotonic() + _MOMENT
    while (held := folder.holder() is not None) and time.monotonic() < end:
        time.sleep(0.05)
    return not held


class _Page:
    """What is printed: once, or anew in the same place of a terminal, or one after the other elsewhere."""

    def __init__(self, *, as_json: bool, renewed: bool) -> None:
        self._as_json = as_json
        self._in_place = renewed and not as_json and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._begun = False

    def show(self, found: Standing) -> None:
        if self._as_json:
            print(json.dumps(plain(found), allow_nan=False), flush=True)
            return
        shown = lines(found, line_width())
        if self._in_place:
            room = shutil.get_terminal_size().lines - 1
            # Each line is cleared from its end on and the rest below: nothing flickers.
            text = "".join(f"{line}\x1b[K\n" for line in shown[:room])
            print(f"{'' if self._begun else CLEAR}{HOME}{text}\x1b[J", end="", flush=True)
        else:
            print("\n" * self._begun + "\n".join(shown), flush=True)
        self._begun = True


def lines(one: Standing, width: int) -> list[str]:
    """How a run stands as text, no line wider than `width` cells."""
    found: list[str] = []
    for name, text in _rows(one):
        first = f"{name:<{_NAMES}}"
        found += textwrap.wrap(
            "".join(letter if letter.isprintable() else " " for letter in text),
            max(width, 2 * _NAMES),
            initial_indent=first,
            subsequent_indent=" " * _NAMES,
            break_on_hyphens=False,
        )
    return found


def _rows(one: Standing) -> Iterator[tuple[str, str]]:
    where = f", process {one.engine}" if one.engine is not None and one.engine > 0 else ""
    yield "run", f"{one.run} ({one.source or one.kind}{', own loop' if one.kind != 'spec' else ''}{where})"
    yield "state", one.state + (f": {one.reason}" if one.reason else "")
    yield "step", _step(one)
    yield "speed", _speed(one)
    if one.seconds_left is not None and one.ends is not None:
        ends = clock(one.ends, time.time())
        yield "time left", f"{duration(one.seconds_left)}, ends {ends if ends[0].isalpha() else f'at {ends}'}"
    if one.slowed:
        yield "slowed", one.slowed
    if one.unsaved:
        yield "not saved", one.unsaved
    yield "settings", _settings(one.settings, one.lr)
    yield "loss", _loss(one)
    logged = {name: value for name, value in one.parts.items() if value is not None and not math.isnan(value)}
    if logged:
        yield "logged", ", ".join(f"{name} {number(value)}" for name, value in logged.items())
    if one.grad_norm is not None:
        share = (
            "" if one.clipped_share is None else f", clipped in {100 * one.clipped_share:.0f} % of the last 100 steps"
        )
        yield "gradient norm", number(one.grad_norm) + share
    yield "explained variance", _measured(one.explained_variance, one.explained_step, one.step)
    yield "variance ratio", _ratio(one)
    yield from _verdict(one)
    if one.device:
        memory = "" if one.memory is None else f", {bytes_text(one.memory)} in use"
        yield "device", f"{one.device}, {one.dtype}{memory}"
    yield "figures", f"of step {one.step:,}, {_age(one.age)}"


def _step(one: Standing) -> str:
    goal = f" of {one.goal:,} ({100 * one.step / one.goal:.0f} %)" if one.goal else ""
    epoch = "" if one.epoch is None else f", epoch {one.epoch:,.2f}"
    return f"{one.step:,}{goal}{epoch}"


def _speed(one: Standing) -> str:
    rate = one.steps_per_second
    if one.stalled:
        return one.stalled
    if not rate:
        return "-" if one.state == "running" else "at rest"
    return (f"{rate:,.3g}" if rate < 100 else f"{rate:,.0f}") + " steps/s"


def _settings(settings: dict[str, str], rate: float | None) -> str:
    """Learning rate, clipping and what else moves a step, where it is not as it is mostly."""
    told = []
    for path, value in settings.items():
        section, _, name = path.rpartition(".")
        known = path in _TOLD or section == "clip" or (name == "lr" and section.startswith("group"))
        if path == "optim.lr" and rate is not None and f"{rate:.6g}" != _short(value):
            told.append(f"{path} {_short(value)} (now {rate:.6g})")
        elif known or value != _USUAL.get(path, value):
            told.append(f"{path} {_short(value)}")
    return ", ".join(told) or "-"


def _short(value: str) -> str:
    with suppress(ValueError):
        return f"{float(value):.6g}"
    return value


def _loss(one: Standing) -> str:
    beside = [
        f"{name} {number(value)}"
        for name, value in (
            ("total", one.total),
            ("validation", one.validation_loss),
            ("predict the mean", one.floors.get("mean")),
            ("PCA", one.floors.get("linear")),
            ("least possible", one.floors.get("entropy")),
        )
        if value is not None
    ]
    if one.loss is None:
        return "-"
    return number(one.loss) + (f"  ({', '.join(beside)})" if beside else "")


def _measured(value: float | None, at: int | None, step: int) -> str:
    return "-" if value is None else as_of(f"{value:.3f}", at, step)


def _ratio(one: Standing) -> str:
    ratio = one.variance_ratio
    if ratio.get("median") is None:
        return "-"
    spread = ", ".join(f"{name} {number(ratio[name])}" for name in ("p10", "p90") if ratio.get(name) is not None)
    low = f"{number(ratio.get('below_0.1'))} of {number(ratio.get('features'))} features below 0.1"
    return as_of(f"median {number(ratio['median'])} ({spread}; {low})", one.variance_step, one.step)


def _verdict(one: Standing) -> Iterator[tuple[str, str]]:
    if one.judged is None:
        yield "verdict", f"none: {one.unjudged or 'it is not measured yet'}"
        return
    report, at = one.judged.report, as_of("", one.judged.step, one.step).strip()
    word = report.verdict.upper() or "none yet"
    means = report.headline or VERDICTS.get(report.verdict, "")
    yield "verdict", f"{word}: {means}{f' ({at})' if at else ''}"
    if report.ruined:
        yield "", f"too late for a remedy in this state: {report.ruined}"
    for rank, finding in enumerate(report.findings[:_FINDINGS], 1):
        yield ("findings" if rank == 1 else ""), f"{rank}. {finding.title} ({100 * finding.confidence:.0f} %)"
    if report.findings or report.verdict not in (LEARNING, "healthy"):
        yield "", f"aetui diagnose {one.run} has evidence and remedies"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "of an age that is not known"
    return "less than a second old" if seconds < 1 else f"{duration(seconds)} old"
