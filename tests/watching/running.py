"""Scripts run in this process as the runner of `aetui watch` does, and what was found in them."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from aetui.cli.standing import judged_of
from aetui.runs.database import Database
from aetui.runs.folder import RunFolder
from aetui.watching import finder, finding, prepared, script

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass
class Ended:
    """What a script printed, and what was found in it."""

    printed: str
    run: Any
    said: str
    notes: str = ""

    @property
    def losses(self) -> list[float]:
        return self.run._engine.run.history.since(0).loss.numpy().tolist()


@contextlib.contextmanager
def as_python_does(arguments: list[str], folder: Path) -> Iterator[None]:
    """What a script's run changes in this process is put back."""
    before = sys.argv, list(sys.path), sys.modules["__main__"], os.getcwd(), sys.excepthook
    random = torch.get_rng_state()
    os.chdir(folder)
    sys.argv = ["", *arguments]
    try:
        yield
    finally:
        sys.argv, sys.path[:], sys.modules["__main__"], where, sys.excepthook = before
        os.chdir(where)
        torch.set_rng_state(random)
        for name in [name for name in sys.modules if name.partition(".")[0] == "packaged"]:
            del sys.modules[name]


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ended]]:
    find = finder.Finder._watch

    def run(
        what: str, /, *arguments: str, watched: bool = True, began: Callable[[Any], None] | None = None, **told: Any
    ) -> Ended:
        """began: gets the run as soon as there is one, in the thread that trains."""

        def finds(self: Any, chosen: Any) -> None:
            find(self, chosen)
            if self.run is not None and began is not None:
                began(self.run)

        monkeypatch.setattr(finder.Finder, "_watch", finds)
        monkeypatch.setenv("AETUI_WATCH", "1" if watched else "0")
        finding._finder = None
        key = "script" if what.endswith(".py") else "module"
        folder = Path(what).parent if Path(what).is_absolute() else SCRIPTS
        printed, said = io.StringIO(), io.StringIO()
        with (
            as_python_does(list(arguments), folder),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(said),
        ):
            try:
                script.become({key: what, **told})
            finally:
                found: Any = finding._finder
                if found is not None:
                    found.remove()
                    if found.run is not None:
                        found.run.close()
                    prepared._waiting.clear()
        ended = Ended(printed.getvalue(), None if found is None else found.run, said.getvalue())
        if ended.run is not None:
            ended.notes = "\n".join(_notes(ended.run))
        return ended

    yield run
    finding._finder = None


def recorded(folder: RunFolder) -> tuple[Any, list[float]]:
    """The last verdict and the losses of a run that has ended."""
    database = Database(folder.database, write=False)
    try:
        (end,) = database.ends().values()
        return judged_of(database.meta().get("report")), database.history(1, 0, end).loss.tolist()
    finally:
        database.close()


def _notes(run: Any) -> list[str]:
    heard: list[Any] = []
    run._engine.join(heard.append)
    events = [event for one in heard for event in getattr(one, "events", [one])]
    return [event.text for event in events if getattr(event, "text", "")]
