"""`aetui runs`, `attach` and `stop`: what is stored, and the engines that train it."""

import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import msgspec

from aetui import paths
from aetui.cli.tables import columns
from aetui.engine.links import AttachLink
from aetui.engine.sockets import SocketError
from aetui.runs import lineage
from aetui.runs.database import DamagedDatabase, Database, UnreachableDatabase
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.own_script import run_again
from aetui.runs.summary import RunSummary, summary, way_on
from aetui.spec import Problem, SpecError
from aetui.tui.figures import as_of, duration

_Made = TypeVar("_Made")
_DAY = 86_400.0
_JOURNAL = 12
"""Events that `show` prints."""


def list_runs(*, as_json: bool) -> int:
    """Print every stored run, the one that changed last first."""
    found = sorted((summary(folder) for folder in RunFolder.all()), key=lambda one: one.age)
    if as_json:
        print(msgspec.json.encode(found).decode())
        return 0
    if not found:
        print(f"no runs are stored in {paths.runs_folder()}")
        return 0
    head = ("name", "state", "step", "expl. var.", "age", "size", "data")
    rows = [
        (one.name, _state(one), _steps(one), _figure(one), duration(one.age), _size(one.size), one.source)
        for one in found
    ]
    print("\n".join(columns([head, *rows], range(2, 6))))
    return 0


def show_run(folder: RunFolder, *, as_json: bool) -> int:
    """Print how a run stands, its checkpoints and the end of its journal."""
    one = summary(folder)
    if as_json:
        print(msgspec.json.encode(one).decode())
        return 0
    if one.engine or not one.script:
        way = ("goes on with", f"aetui attach {one.name}" if one.engine else f"aetui resume {one.name}")
    else:
        way = ("to go on", run_again(one.script))
    lines = [
        ("run", one.name),
        ("state", _state(one)),
        ("step", _steps(one)),
        ("loss", "-" if one.loss is None else f"{one.loss:.4g}"),
        ("explained variance", _figure(one)),
        ("script" if one.script else "data", one.source or "-"),
        ("began", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.created)) if one.created else "-"),
        ("changed", f"{duration(one.age)} ago"),
        ("size", f"{_size(one.size)} in {one.folder}"),
        ("branches", f"{one.branches}, {one.tweaks} tweaks, {one.checkpoints} checkpoints"),
        way,
    ]
    for label, text in lines:
        print(f"{label:<20}{text}")
    try:
        with closing(Database(folder.database, write=False)) as database:
            _print_record(database)
    except (UnreachableDatabase, sqlite3.OperationalError) as error:
        print(f"\nthe record can't be read at present ({error}); it may be sound")
    except (DamagedDatabase, sqlite3.Error, ValueError) as error:
        print(f"\nthe record is damaged ({error}); aetui resume {one.name} rebuilds it from what can be read")
    return 0


def _print_record(database: Database) -> None:
    rows = database.checkpoints()
    print("\ncheckpoints, the newest first")
    for row in rows[:_JOURNAL]:
        loss = "-" if row.loss is None else f"{row.loss:.4g}"
        print(f"  {_clock(row.time)}  step {row.position.step:>9,}  loss {loss:<9}  {row.reason}")
    tweaks = {group[0].seq: lineage.told(group) for group in lineage.grouped(database.tweaks())}
    events = [event for event in database.events() if event.text and (event.changes is None or event.seq in tweaks)]
    print("\njournal" + (f", the last {_JOURNAL} of {len(events)}" if len(events) > _JOURNAL else ""))
    for event in events[-_JOURNAL:]:
        text = tweaks.get(event.seq, event.text)
        print(f"  {_clock(event.time)}  step {event.step:>9,}  {event.kind:<8} {text}")


def rename_run(folder: RunFolder, name: str) -> int:
    """Give a run another name."""
    print(f"{folder.name} is now {_or_problem('aetui runs rename', lambda: folder.rename(name)).name}")
    return 0


def delete_runs(folders: Sequence[RunFolder], *, yes: bool) -> int:
    """Delete runs with all they have; asks first where there is somebody to ask."""
    names = ", ".join(folder.name for folder in folders)
    size = _size(sum(folder.size() for folder in folders))
    if not yes and not _agreed("aetui runs delete", f"{names} ({size})"):
        return 1
    for folder in folders:
        _or_problem("aetui runs delete", folder.delete)
        print(f"deleted {folder.name}")
    return 0


def _agreed(command: str, what: str) -> bool:
    """Ask whether to delete something.

    Raises:
        SpecError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise SpecError([Problem(command, f"{what}: --yes deletes without asking")])
    agreed = input(f"delete {what} for good? [y/N] ").strip().lower() in ("y", "yes")
    if not agreed:
        print("nothing was deleted")
    return agreed


def prune_runs(*, days: float | None, checkpoints: bool, dry: bool, yes: bool) -> int:
    """Delete leftovers: folders without a record, runs without a step, unfinished files, and what is asked for.

    Says first what would go, and asks.

    Args:
        days: delete runs that have not changed for so long.
        checkpoints: keep the newest checkpoint of each run only; the others can be trained again.
        dry: only say what would go.
        yes: delete without asking.
    """
    if not (dry or yes):
        freed = _prune(days, checkpoints, dry=True)
        if not freed:
            return 0
        if not _agreed("aetui runs prune", f"{_size(freed)} of the above"):
            return 1
    _prune(days, checkpoints, dry)
    return 0


def _prune(days: float | None, checkpoints: bool, dry: bool) -> int:
    """Delete, or say what would be; bytes."""
    freed = 0
    verb = "would delete" if dry else "deleted"
    for path in _leftovers():
        freed += RunFolder(path).size()
        print(f"{verb} {path.name}: nothing is recorded in it")
        if not dry:
            shutil.rmtree(path, ignore_errors=True)
    for folder in RunFolder.all():
        one = summary(folder)
        if one.engine is not None or one.state in ("damaged", "unreadable"):
            continue
        old = days is not None and one.age > days * _DAY
        if old or (one.step == 0 and not one.tweaks):
            why = f"has not changed for {duration(one.age)}" if old else "was never trained"
            freed += one.size
            print(f"{verb} {folder.name}: {why}")
            if not dry:
                _or_problem("aetui runs prune", folder.delete)
            continue
        freed += _thin(folder, checkpoints, dry, verb)
    print(f"{_size(freed)} {'would be freed' if dry else 'freed'}")
    return freed


def _leftovers() -> list[Path]:
    """Folders of runs that never came to have a record, and that nobody uses."""
    parent = paths.runs_folder()
    if not parent.is_dir():
        return []
    old = time.time() - 3600  # a run that begins just now has no record yet either
    found = [path for path in sorted(parent.iterdir()) if path.is_dir() and not RunFolder(path).exists]
    return [path for path in found if path.stat().st_mtime < old and RunFolder(path).holder() is None]


def _thin(folder: RunFolder, checkpoints: bool, dry: bool, verb: str) -> int:
    """Delete unfinished files of a run, and all but its newest checkpoint if asked to; bytes."""
    lock = _or_problem("aetui runs prune", folder.lock)
    try:
        surplus = list(folder.checkpoints.glob("*.partial"))
        with closing(Database(folder.database)) as database:
            files = list(dict.fromkeys(row.file for row in database.checkpoints()))
            dropped = files[1:] if checkpoints else []
            surplus += [folder.checkpoints / file for file in dropped]
            surplus = [path for path in surplus if path.exists()]
            if not dry:
                for file in dropped:
                    database.drop_checkpoints(file)
                database.commit()
        freed = sum(path.stat().st_size for path in surplus)
        if surplus:
            print(f"{verb} {len(surplus)} files of {folder.name}: {_size(freed)}")
        if not dry:
            for path in surplus:
                path.unlink()
        return freed
    except DamagedDatabase as error:
        print(f"left {folder.name} alone: {error}", file=sys.stderr)
        return 0
    finally:
        lock.release()


def running(name: str | None, command: str) -> RunFolder:
    """The run of that name; without one, the only one that is in training.

    Raises:
        SpecError: there is none, or several.
    """
    if name is not None:
        return found_run(name, command)
    live = [folder for folder in RunFolder.all() if folder.holder() is not None]
    if len(live) == 1:
        return live[0]
    if not live:
        raise SpecError([Problem(command, "no engine is running; aetui runs lists the stored runs")])
    raise SpecError([Problem(command, f"takes one of {', '.join(folder.name for folder in live)}")])


def found_run(name: str, command: str) -> RunFolder:
    """The run of that name.

    Raises:
        SpecError: there is none.
    """
    return _or_problem(command, lambda: RunFolder.find(name))


def stop_run(folder: RunFolder) -> int:
    """Have the engine of a run write a checkpoint and end, and wait for it; status 1 where it had to be killed."""
    if folder.holder() is None:
        print(f"{folder.name} is not in training; {way_on(folder)}")
        return 0
    try:
        link = AttachLink(folder.path)
    except SocketError as error:
        who = folder.holder()
        raise SpecError([Problem("aetui stop", f"{error}; kill {who} ends it, and the run stays stored")]) from None
    link.close(lambda text: print(f"aetui: {text}", file=sys.stderr))
    print(link.last_words or f"the engine of {folder.name} has ended")
    return int("killed" in link.last_words)


def _or_problem(command: str, act: Callable[[], _Made]) -> _Made:
    """What `act` makes; a refusal of the store becomes one of the command's."""
    try:
        return act()
    except RunError as error:
        raise SpecError([Problem(command, str(error))]) from None
    except OSError as error:
        raise SpecError([Problem(command, f"{error.filename}: {error.strerror}")]) from None


def _state(one: RunSummary) -> str:
    return f"{one.state} ({one.engine})" if one.engine else one.state


def _steps(one: RunSummary) -> str:
    if one.step is None:
        return "-"
    return f"{one.step:,} of {one.goal:,}" if one.goal and one.goal > one.step else f"{one.step:,}"


def _figure(one: RunSummary) -> str:
    if one.explained_variance is None or one.step is None:
        return "-"
    return as_of(f"{one.explained_variance:.3f}", one.explained_step, one.step)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _clock(seconds: float) -> str:
    return time.strftime("%m-%d %H:%M:%S", time.localtime(seconds))
