"""`aetui diagnose`: why a run trains badly, as a report."""

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from aetui.data import DataError
from aetui.models.build import ModelError
from aetui.report import render
from aetui.spec import Problem, RunSpec, SpecError

if TYPE_CHECKING:
    from aetui.diagnosis import Progress

_WIDEST = 100
"""Longer lines are hard to read, however wide the terminal."""


def diagnose_and_print(spec: RunSpec, *, steps: int | None, as_json: bool) -> int:
    """Diagnose a run and print the report; status 1 where something has to be changed.

    Raises:
        SpecError: the spec, its data or its model can't be used.
    """
    from aetui.diagnosis import diagnose_spec

    if steps is not None and steps < 1:
        raise SpecError([Problem("--steps", f"{steps} is not allowed; it takes a whole number of at least 1")])
    try:
        with _Bar() as bar:
            report = diagnose_spec(spec, steps=steps, progress=bar.show)
    except (DataError, ModelError) as error:
        path = error.path or "data"
        raise SpecError([Problem(path, str(error).removeprefix(f"{path}: "))]) from None
    if as_json:
        print(report.to_json())
    else:
        print(render(report, width=line_width(), color=colored()))
    return int(report.wrong)


def line_width() -> int:
    """Cells of a line of text: the terminal's, up to what reads well."""
    return min(_WIDEST, shutil.get_terminal_size((88, 24)).columns)


def colored() -> bool:
    """Whether stdout is a terminal that takes colors (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _Bar:
    """A progress bar on stderr; nothing where stderr is no terminal."""

    def __enter__(self) -> "_Bar":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._bar: Any = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._bar.__enter__()
        self._task = self._bar.add_task("loading", total=None)
        return self

    def __exit__(self, *details: Any) -> None:
        self._bar.__exit__(*details)

    def show(self, progress: "Progress") -> None:
        self._bar.update(self._task, description=progress.stage, completed=progress.done, total=progress.total)
