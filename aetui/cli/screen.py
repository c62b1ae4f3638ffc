"""`aetui run`: an engine, a screen, and the terminal between them."""

import os
import sys
from contextlib import suppress

from aetui.engine.links import PLACEMENTS
from aetui.engine.logs import log_to, new_log, new_run_name
from aetui.spec import Problem, RunSpec, SpecError


def open_screen(spec: RunSpec, *, placement: str | None, start: bool, theme: str | None) -> int:
    """Start the engine, show the screen until the user leaves, end the engine; status 1 where the run failed.

    The engine's process is started first, so that it loads torch while the screen draws.

    Raises:
        SpecError: there is no terminal to draw on.
    """
    if not (sys.stdin.isatty() and (sys.stdout.isatty() or sys.stderr.isatty())):
        raise SpecError([Problem("aetui run", "needs a terminal; aetui train does the same without a screen")])
    from aetui.tui.settings import load_settings, settings_path

    settings, problems = load_settings(settings_path())
    placement = placement or settings.engine
    name = new_run_name()
    log = new_log(name)
    log_to(str(log))
    link = PLACEMENTS[placement](name, str(log))
    try:
        from aetui.tui.app import Workbench
        from aetui.tui.terminal import owned_terminal

        app = Workbench(
            link,
            spec,
            start=start,
            theme=theme,
            settings=settings,
            problems=problems,
            placement=placement,
            log_file=str(log),
        )
        with owned_terminal(log):
            app.run(mouse=os.environ.get("AETUI_MOUSE", "1") != "0")
    finally:
        link.close()
    failure = app.model.error or (app.model.reason if app.model.status.state == "failed" else "")
    if app.return_code:
        failure = f"the screen failed; the traceback is in {log}"
    if failure:
        # The terminal may have hung up; on a narrow one the screen had cut the sentence.
        with suppress(OSError):
            print(f"aetui: {failure}", file=sys.stderr, flush=True)
    return app.return_code or int(bool(failure))
