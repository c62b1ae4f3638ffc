"""`aetui try`: an experiment on forks without a screen, and what becomes of its winner."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from aetui.cli.adopt import Adoption
from aetui.cli.lines import INTERRUPTED, line_width
from aetui.cli.options import changes_of, problem_of
from aetui.cli.progress import stages_on_stderr
from aetui.data import DataError
from aetui.diagnosis import Progress, diagnose_spec
from aetui.models.errors import ModelError
from aetui.runs.database import DamagedDatabase
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.own_script import script_of
from aetui.spec import Problem, RunSpec, SpecError
from aetui.whatif import judging
from aetui.whatif.course import Trial
from aetui.whatif.experiment import Experiment
from aetui.whatif.source import LONGEST, Source, of_run, of_spec
from aetui.whatif.text import conclusion, progress, render

COMMAND = "aetui try"
_NEXT = re.compile(r",(?=\s*[a-z_]+\.[a-z0-9_]+\s*=)")
"""A comma between two settings, and none within the value of one."""

Show = Callable[[Progress], None]


def edits_in(items: Sequence[str]) -> list[dict[str, str]]:
    """Each `--set` as the settings of one fork: `optim.lr=1e-3` or `optim.kind=sgd,optim.lr=0.1`.

    Raises:
        SpecError: one of them is no such text.
    """
    return [changes_of(_NEXT.split(item), "--set") for item in items]


def try_changes(
    target: RunSpec | RunFolder, name: str, *, sets: Sequence[str], steps: int | None, seeds: int, forks: int,
    draws: int, seed: int, remedies: bool, as_json: bool, adoption: Adoption,
) -> int:  # fmt: skip
    """Run an experiment and print it; status 0 where a fork does better, 1 where none does, 130 after ctrl+c.

    Args:
        target: a spec, or a stored run.
        name: what the run is called.

    Raises:
        SpecError: the run or an edit can't be used, or what is to be adopted can't be.
    """
    edits = edits_in(sets)
    adoption.check(target)
    with stages_on_stderr() as show:
        source = source_of(target, name, diagnosed=remedies, show=show)
        try:
            trial = Trial(source, edits=edits, remedies=remedies, draws=draws, steps=steps, forks=forks, seed=seed)
        except (DataError, ModelError) as error:
            raise SpecError([problem_of(error)]) from None
        experiment = run(trial, seeds, show)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(plain(experiment))).decode())
    else:
        print(render(experiment, line_width()))
    if any(fork.status == "cancelled" for fork in experiment.forks):
        return INTERRUPTED
    status = int(judging.winner(experiment) is None)
    return adoption.carry_out(source, experiment) if adoption.wanted else status


def source_of(target: RunSpec | RunFolder, name: str, *, diagnosed: bool, show: Show) -> Source:
    """Where the forks leave from, with what a diagnosis says of it where that is wanted.

    Raises:
        SpecError: it can't be used.
    """
    try:
        if isinstance(target, RunFolder):
            return of_run(target)
        # Forks of a target train no longer than that, so nothing later is of use to them.
        steps = min(target.train.steps, LONGEST) or None
        report = diagnose_spec(target, steps=steps, progress=show) if diagnosed else None
        return of_spec(name, target, report)
    except (DataError, ModelError) as error:
        raise SpecError([problem_of(error)]) from None
    except RunError as error:
        assert isinstance(target, RunFolder)
        raise SpecError([Problem(COMMAND, _unforked(target, str(error)))]) from None
    except DamagedDatabase as error:
        raise SpecError([Problem(COMMAND, str(error))]) from None


def _unforked(folder: RunFolder, why: str) -> str:
    """Why a run can't be forked, and what can be done instead."""
    if not script_of(folder.database):
        return why
    probes = f"aetui diagnose {folder.name} --probes checks the suspects on copies of its model"
    return f"{why}; {probes if folder.holder() is not None else f'while it trains, {probes}'}"


def run(trial: Trial, seeds: int, show: Show) -> Experiment:
    """An experiment to its end, with its winner held on other seeds; ctrl+c ends it with what is known until then."""
    experiment = trial.experiment
    with _cancelling(trial):
        for experiment in trial.run():
            show(_stage(experiment))
        if seeds:
            for experiment in trial.hold(seeds):
                show(Progress(f"{experiment.held} on other seeds", len(experiment.seeds), seeds))
    return experiment


def _stage(x: Experiment) -> Progress:
    done = sum(fork.step - fork.start for fork in x.forks)
    total = sum(fork.end - fork.start for fork in x.forks)
    return Progress(progress(x), done, total)


@contextmanager
def _cancelling(trial: Trial) -> Iterator[None]:
    """The first ctrl+c cancels the experiment, a second one ends the command."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        trial.cancel()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def plain(x: Experiment) -> dict[str, Any]:
    """An experiment as values of JSON, with what is told from it."""
    best, band = judging.winner(x), judging.band(x.forks, x.step, x.symptom)
    return {
        **msgspec.to_builtins(x),
        "winner": None if best is None else best.name,
        "noise": None if band is None else {"low": band.low, "high": band.high, "noise": band.noise},
        "conclusion": conclusion(x),
    }
