"""`aetui diagnose`: why a run trains badly, as a report."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aetui.cli.lines import INTERRUPTED, colored, line_width
from aetui.cli.options import own_code, problem_of
from aetui.cli.progress import stages_on_stderr
from aetui.data import DataError
from aetui.models.build import ModelError
from aetui.report import render
from aetui.spec import Problem, RunSpec, SpecError

if TYPE_CHECKING:
    from aetui.diagnosis.budget import Budget


def diagnose_and_print(
    spec: RunSpec, *, steps: int | None, as_json: bool, seconds: float | None = None, probes: bool = True,
    loss: str | None = None, step: str | None = None, verify: bool = False,
) -> int:  # fmt: skip
    """Diagnose a run and print the report; status 1 where something has to be changed, 130 after ctrl+c.

    Args:
        loss, step: a loss or a training step of the user's own in place of the spec's loss, as `file.py:name`.
        verify: try the remedies on forks afterwards.

    Raises:
        SpecError: the spec, its data or its model can't be used.
    """
    from aetui import diagnosis
    from aetui.diagnosis.budget import Budget

    if steps is not None and steps < 1:
        raise SpecError([Problem("--steps", f"{steps} is not allowed; it takes a whole number of at least 1")])
    if seconds is not None and not seconds > 0:
        raise SpecError([Problem("--seconds", f"{seconds:g} is not allowed; it takes a number above 0")])
    if loss and step:
        raise SpecError([Problem("--loss", "it is not allowed together with --step, which has its own loss")])
    if verify and (loss or step):
        option = "--loss" if loss else "--step"
        raise SpecError(
            [Problem("--verify", f"it is not allowed together with {option}: forks train by the spec alone")]
        )
    loss, step = loss and own_code("--loss", loss), step and own_code("--step", step)
    budget = Budget(seconds, asked=(steps or spec.train.steps or spec.train.epochs) is not None)
    try:
        with _stopping(budget) as interrupted, stages_on_stderr() as show:
            if loss or step:
                report = diagnosis.diagnose_files(
                    spec, loss=loss, step=step, steps=steps, probes=probes, budget=budget, progress=show
                )
            else:
                report = diagnosis.diagnose_spec(spec, steps=steps, probes=probes, budget=budget, progress=show)
    except (DataError, ModelError) as error:
        raise SpecError([problem_of(error)]) from None
    experiment = None
    if verify and not interrupted():
        from aetui.cli.verify import verified

        with stages_on_stderr() as show:
            report, experiment = verified(report, spec, show)
    if as_json and experiment is not None:
        from aetui.cli.whatif import plain

        print(json.dumps({**report.to_dict(), "experiment": plain(experiment)}, indent=2))
    elif as_json:
        print(report.to_json())
    else:
        print(render(report, width=line_width(), color=colored()))
    return INTERRUPTED if interrupted() else int(report.wrong)


@contextmanager
def _stopping(budget: "Budget") -> Iterator[Callable[[], bool]]:
    """The first ctrl+c ends the diagnosis with what is known until then, a second one at once."""
    seen: list[int] = []

    def stop(number: int, _frame: object) -> None:
        seen.append(number)
        budget.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)
