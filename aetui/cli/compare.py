"""`aetui compare`: stored runs side by side, on a screen or as text."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from aetui import paths
from aetui.cli.runs import found_run
from aetui.cli.tables import columns
from aetui.comparison import Row, differing, matches, plain, yardsticks
from aetui.runs.comparing import StoredRow
from aetui.runs.folder import RunFolder
from aetui.spec import Problem, SpecError

COMMAND = "aetui compare"


def compare_runs(
    names: Sequence[str], *, wanted: str = "", at: int | None = None, as_json: bool = False, theme: str | None = None
) -> int:
    """Show runs side by side until the user leaves; without a terminal, or as JSON, print the same.

    Args:
        names: of the runs; none takes all that are stored.
        wanted: what their names and settings have to fit.
        at: step that figures are of, the last of each without.

    Raises:
        SpecError: there is no such run, or nothing to compare.
    """
    if at is not None and at < 0:
        raise SpecError([Problem("--at", f"{at} is not allowed; it takes a step, 0 or more")])
    folders = [found_run(name, COMMAND) for name in dict.fromkeys(names)] if names else RunFolder.all()
    stored = [StoredRow(folder) for folder in dict.fromkeys(folders)]
    if not stored:
        raise SpecError([Problem(COMMAND, "no run is stored")])
    if not as_json and _on_terminal():
        return _show(stored, wanted, at, theme)
    rows = [row for row in (one.read() for one in stored) if matches(row, wanted)]
    if not rows:
        raise SpecError([Problem("--filter", f"{wanted!r} fits none of the {len(stored)} runs")])
    if as_json:
        print(json.dumps(plain(rows, at), allow_nan=False))
    else:
        print("\n".join(lines(rows, at)))
    return 0


def _on_terminal() -> bool:
    from aetui.tui.characters import DUMB

    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "") not in DUMB


def _show(stored: Sequence[StoredRow], wanted: str, at: int | None, theme: str | None) -> int:
    from aetui.engine.logs import log_to
    from aetui.tui.compare.app import CompareApp
    from aetui.tui.terminal import owned_terminal
    from aetui.tui.user_settings import load_settings, settings_path

    log = _log()
    log_to(str(log))
    settings, problems = load_settings(settings_path())
    app = CompareApp(lambda: [one.read() for one in stored], wanted=wanted, at=at, theme=theme, settings=settings)
    with owned_terminal(log):
        app.run(mouse=os.environ.get("AETUI_MOUSE", "1") != "0")
    for text in problems:
        print(f"aetui: {text}", file=sys.stderr)
    if app.return_code:
        print(f"aetui: the screen failed; the traceback is in {log}", file=sys.stderr)
    return app.return_code or 0


def _log() -> Path:
    """The file that takes what libraries print while the screen is open; nothing is kept where none can be written."""
    log = paths.home_folder() / "compare.log"
    try:
        paths.private_folder(log.parent)
        os.close(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
    except OSError:
        return Path(os.devnull)
    return log


def lines(rows: Sequence[Row], at: int | None) -> list[str]:
    """The comparison as text: figures, then the settings that differ."""
    from aetui.tui.compare.columns import explained_text, loss_text, steps_text, verdict_text
    from aetui.tui.figures import number
    from aetui.tui.texts import plain as clean

    head = ("name", "state", "steps", "loss", "expl. var.", "mean floor", "PCA floor", "verdict")
    table = [
        (
            *(clean(row.name), row.state, steps_text(row), loss_text(row, at), explained_text(row, at)),
            *(number(row.floors.get("mean")), number(row.floors.get("linear")), verdict_text(row)),
        )
        for row in rows
    ]
    found = [] if at is None else [f"at step {at:,}", ""]
    found += columns([head, *table], {2, 3, 4, 5, 6})
    paths = differing(rows)
    if yardsticks(rows):
        found += ["", f"losses are not comparable: the runs differ in {', '.join(yardsticks(rows))}"]
    if len(rows) > 1 and not paths:
        found += ["", "all settings are the same"]
    if paths:
        values = [(path, *(row.settings.get(path) or "-" for row in rows)) for path in paths]
        found += ["", *columns([("setting", *(clean(row.name) for row in rows)), *values], set())]
    return found
