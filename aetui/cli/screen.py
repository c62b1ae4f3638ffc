"""`aetui run`, `resume` and `attach`: an engine, a screen, and the terminal between them."""

import logging
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from aetui.cli.progress import say
from aetui.cli.talk import reach
from aetui.engine.links import PLACEMENTS, AttachLink, ProcessLink, ThreadLink
from aetui.engine.logs import log_to
from aetui.runs.database import DamagedDatabase, Database
from aetui.runs.folder import NameRefused, RunError, RunFolder
from aetui.runs.own_script import only_its_script, script_of
from aetui.spec import Problem, RunSpec, SpecError, loads

log = logging.getLogger(__name__)

AnyLink = ProcessLink | ThreadLink | AttachLink


def open_screen(
    spec: RunSpec, *, placement: str | None, start: bool, theme: str | None, name: str | None = None
) -> int:
    """Show a new run until the user leaves; status 1 where it failed.

    The engine's process is started first, so that it loads torch while the screen draws.

    Raises:
        SpecError: there is no terminal to draw on, or the name is taken.
    """
    _need_terminal("aetui run", "aetui train does the same without a screen")
    folder, problems = new_folder(name)
    screen = Screen(folder, placement, theme)
    link = screen.engine(into=folder.path)
    return screen.show(link, spec, start=start, problems=problems)


def resume_screen(folder: RunFolder, *, placement: str | None, start: bool, theme: str | None) -> int:
    """Show a stored run where its record ends, and go on with it.

    Raises:
        SpecError: there is no terminal to draw on, or the run is in training, or only its script trains it.
    """
    if folder.holder() is None and (script := script_of(folder.database)):
        raise SpecError([Problem("aetui resume", only_its_script(folder.name, script))])
    _need_terminal("aetui resume", "--headless does the same without a screen")
    who = folder.holder()
    if who is not None:
        way = folder.way_to_holder()
        raise SpecError([Problem("aetui resume", f"{folder.name} is in training by process {who}; {way}")])
    screen = Screen(folder, placement, theme)
    link = screen.engine()
    return screen.show(link, spec_of_run(folder), start=start, open_folder=str(folder.path))


def attach_screen(folder: RunFolder, *, theme: str | None, read_only: bool = False) -> int:
    """Show a run whose engine runs, until the user leaves; the engine goes on. read_only: and steer nothing.

    Raises:
        SpecError: there is no terminal to draw on, or no engine to attach to.
    """
    _need_terminal("aetui attach", f"aetui runs show {folder.name} tells how it stands")
    link = reach(folder, "aetui attach", read_only=read_only)
    screen = Screen(folder, "process", theme)
    return screen.show(link, spec_of_run(folder), attached=True, read_only=read_only)


def new_folder(name: str | None) -> tuple[RunFolder, list[str]]:
    """A folder for a new run, and what is to be said about it; a temporary one where the usual can't be written.

    Raises:
        SpecError: the name is taken or no name, or nothing can be written at all.
    """
    try:
        return RunFolder.create(name), []
    except NameRefused as error:
        raise SpecError([Problem("--name", str(error))]) from None
    except RunError as error:
        try:
            folder = RunFolder.spare(name)
        except OSError as second:
            raise SpecError([Problem("AETUI_HOME", f"{error}; nor in {second.filename}: {second.strerror}")]) from None
        return folder, [f"{error}; this run is stored in {folder.path}"]


def spec_of_run(folder: RunFolder) -> RunSpec:
    """The spec that a stored run began with; the default one where its record is damaged."""
    with suppress(DamagedDatabase, KeyError, SpecError):
        database = Database(folder.database, write=False)
        try:
            return loads(database.meta()["spec"])
        finally:
            database.close()
    return RunSpec()


def _need_terminal(command: str, way_out: str) -> None:
    from aetui.tui.characters import DUMB

    term = os.environ.get("TERM", "")
    if not (sys.stdin.isatty() and (sys.stdout.isatty() or sys.stderr.isatty())):
        raise SpecError([Problem(command, f"needs a terminal; {way_out}")])
    if term in DUMB:
        raise SpecError([Problem(command, f"needs a terminal that can move its cursor, and TERM is {term}; {way_out}")])


class Screen:
    """The terminal's side of a run: settings, log, and what becomes of the engine in the end."""

    def __init__(self, folder: RunFolder, placement: str | None, theme: str | None) -> None:
        from aetui.tui.user_settings import load_settings, settings_path

        self._folder, self._theme = folder, theme
        self._settings, self._problems = load_settings(settings_path())
        self._placement = placement or self._settings.engine
        self.app: Any = None
        """The app, once it is made."""
        log_to(str(folder.log))

    def engine(self, into: Path | None = None) -> AnyLink:
        """An engine of the screen's own."""
        return PLACEMENTS[self._placement](self._folder.name, str(self._folder.log), into)

    def _another(self) -> Callable[[], Any] | None:
        """Starts an engine in the place of one that is gone."""
        return self.engine if self._placement == "process" else None

    def show(
        self,
        link: AnyLink,
        spec: RunSpec,
        *,
        start: bool = False,
        problems: list[str] | None = None,
        open_folder: str = "",
        attached: bool = False,
        read_only: bool = False,
    ) -> int:
        """Draw until the user leaves, then leave the engine as they wish; status 1 where the run or screen failed."""
        try:
            from aetui.tui.app import Workbench
            from aetui.tui.terminal import owned_terminal

            app = Workbench(
                link,
                spec,
                start=start,
                theme=self._theme,
                settings=self._settings,
                problems=[*(problems or []), *self._problems],
                placement=self._placement,
                log_file=str(self._folder.log),
                open_folder=open_folder,
                attached=attached,
                read_only=read_only,
                new_engine=self._another(),
            )
            self.app = app
        except BaseException:
            link.close()
            raise
        words = ""
        try:
            with owned_terminal(self._folder.log):
                app.run(mouse=os.environ.get("AETUI_MOUSE", "1") != "0")
        finally:
            words = self._let_go(app)
        failure = app.model.error or (app.model.reason if app.model.status.state == "failed" else "")
        if app.return_code:
            failure = f"the screen failed; the traceback is in {self._folder.log}"
        # The terminal may have hung up; on a narrow one the screen had cut the sentence.
        for text in dict.fromkeys(filter(None, (failure, words))):
            say(text)
        if not failure and not self._folder.exists and not attached and not open_folder:
            shutil.rmtree(self._folder.path, ignore_errors=True)
        return app.return_code or int(bool(failure))

    def _let_go(self, app: Any) -> str:
        """Leave the engine running or have it end; a sentence on how to go on."""
        link: AnyLink = app.session.link
        if app.leaving == "detach":
            link.detach()
            if app.session.lost:
                return app.session.lost
            info = app.model.info
            name = info.name if info is not None else self._folder.name
            doing = "trains on" if app.session.training else "is kept ready"
            return f"the run {name} {doing} in the background; aetui attach {name} shows it, aetui stop {name} ends it"
        link.close(say)
        # Without a run the end of its engine is no news.
        return link.last_words if app.model.info is not None or "killed" in link.last_words else ""
