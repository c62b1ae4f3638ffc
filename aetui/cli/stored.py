"""The commands on stored runs."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter, validators

Flag = Annotated[bool, Parameter(negative=())]

runs = App(name="runs", help="Stored runs: list, show, rename, delete, prune.", help_format="plaintext")


@runs.default
def list_(*, json: Flag = False) -> int:
    """List the stored runs, the one that changed last first.

    Parameters
    ----------
    json
        Print one JSON array instead of a table.
    """
    from aetui.cli.runs import list_runs

    return list_runs(as_json=json)


@runs.command
def show(run: str, /, *, json: Flag = False) -> int:
    """Show how a run stands, its checkpoints and its journal.

    Parameters
    ----------
    run
        A run's name, or its unique beginning, or its folder.
    json
        Print one JSON object instead of a text.
    """
    from aetui.cli.runs import found_run, show_run

    return show_run(found_run(run, "aetui runs show"), as_json=json)


@runs.command
def rename(run: str, name: str, /) -> int:
    """Give a run another name.

    Parameters
    ----------
    run
        A run's name, or its unique beginning.
    name
        The new name.
    """
    from aetui.cli.runs import found_run, rename_run

    return rename_run(found_run(run, "aetui runs rename"), name)


@runs.command
def delete(run: str, /, *more: str, yes: Flag = False) -> int:
    """Delete runs with all they have; asks first.

    Parameters
    ----------
    run
        A run's name, or its unique beginning.
    more
        More runs.
    yes
        Don't ask.
    """
    from aetui.cli.runs import delete_runs, found_run

    return delete_runs([found_run(name, "aetui runs delete") for name in (run, *more)], yes=yes)


@runs.command
def prune(
    *,
    days: Annotated[float | None, Parameter(validator=validators.Number(gte=0))] = None,
    checkpoints: Flag = False,
    dry_run: Flag = False,
    yes: Flag = False,
) -> int:
    """Delete leftovers: runs that never took a step, unfinished files, and what is asked for; asks first.

    Parameters
    ----------
    days
        Delete runs that have not changed for so many days too.
    checkpoints
        Keep only the newest checkpoint of each run; the others can be trained again.
    dry_run
        Only say what would be deleted.
    yes
        Don't ask.
    """
    from aetui.cli.runs import prune_runs

    return prune_runs(days=days, checkpoints=checkpoints, dry=dry_run, yes=yes)


def resume(
    run: str,
    /,
    *,
    headless: Flag = False,
    steps: int | None = None,
    json: Flag = False,
    quiet: Flag = False,
    engine: Literal["process", "thread"] | None = None,
    start: Flag = False,
    theme: str | None = None,
) -> int:
    """Continue a stored run, bit for bit, on the screen or without one.

    Parameters
    ----------
    run
        A run's name, or its unique beginning, or its folder.
    headless
        Without a screen: train up to the steps first asked for, and print what came out.
    steps
        Headless: steps in all, counted from the run's first.
    json
        Headless: print one JSON object instead of a table.
    quiet
        Headless: don't say how far it has come.
    engine
        Where training runs: a process of its own (default), or a thread of the screen's.
    start
        Begin to train at once.
    theme
        Name of a theme.
    """
    from aetui.cli.runs import found_run

    folder = found_run(run, "aetui resume")
    if headless or json or quiet or steps is not None:
        from aetui.cli.train import resume_headless

        return resume_headless(folder, steps=steps, as_json=json, quiet=quiet)
    from aetui.cli.screen import resume_screen

    return resume_screen(folder, placement=engine, start=start, theme=theme)


def attach(run: str | None = None, /, *, read_only: Flag = False, theme: str | None = None) -> int:
    """Bring back the screen of a run that trains in the background.

    Parameters
    ----------
    run
        A run's name, or its unique beginning; nothing takes the only one in training.
    read_only
        Only watch: no key of this screen steers the run.
    theme
        Name of a theme.
    """
    from aetui.cli.runs import running
    from aetui.cli.screen import attach_screen

    return attach_screen(running(run, "aetui attach"), theme=theme, read_only=read_only)


def stop(run: str | None = None, /) -> int:
    """Have a run that trains in the background write a checkpoint and end.

    Parameters
    ----------
    run
        A run's name, or its unique beginning; nothing takes the only one in training.
    """
    from aetui.cli.runs import running, stop_run

    return stop_run(running(run, "aetui stop"))


def steer(
    *words: str,
    wait: Flag = False,
    timeout: float = 60.0,
    json: Flag = False,
) -> int:
    """Steer a run that is alive from the command line: RUN pause | go | step N | set optim.lr=1e-4 ... | undo.

    Parameters
    ----------
    words
        The run's name or its unique beginning, which may be left out where one alone is alive, and what it is to do.
    wait
        With step N: until the run rests again.
    timeout
        Seconds that the acknowledgement may take.
    json
        Print one JSON object instead of a sentence.
    """
    from aetui.cli.steer import steer as steer_run

    return steer_run(words, wait=wait, patience=timeout, as_json=json)


def status(
    run: str | None = None,
    /,
    *,
    json: Flag = False,
    watch: Flag = False,
    every: Annotated[float, Parameter(validator=validators.Number(gte=0.5, lte=3600))] = 2.0,
) -> int:
    """Say how a run stands: state, step, speed, time left, settings, losses, explained variance, verdict.

    Parameters
    ----------
    run
        A run's name, or its unique beginning, or its folder; nothing takes the one that trains, or changed last.
    json
        Print one JSON object instead of a text.
    watch
        Renew it until the run is over; ctrl-C leaves.
    every
        With --watch: seconds in between.
    """
    from aetui.cli.status import show_status

    return show_status(run, as_json=json, every=every if watch else None)


alerts = App(
    name="alerts", help="What a run says by itself, as [alerts] of settings.toml has it.", help_format="plaintext"
)


@alerts.command(name="test")
def try_alerts() -> int:
    """Take every way that is set now, bell, desktop, command and webhook, and say what came of it."""
    from aetui.cli.alerts import test_alerts

    return test_alerts()


def export(
    run: str,
    /,
    *,
    to: Literal["csv", "parquet", "tensorboard", "torch", "script"],
    out: Path | None = None,
) -> int:
    """Take a run away: its history as a table, its weights, or a script that trains it without aetui.

    Parameters
    ----------
    run
        A run's name, or its unique beginning, or its folder.
    to
        csv or parquet: the history. tensorboard: event files. torch: a state_dict. script: plain PyTorch.
    out
        Folder to write into; without it the present one.
    """
    from aetui.cli.export import export_run
    from aetui.cli.runs import found_run

    return export_run(found_run(run, "aetui export"), kind=to, out=out)


def compare(
    *names: str,
    filter_: Annotated[str, Parameter(name="--filter", show_default=False)] = "",
    at: int | None = None,
    json: Flag = False,
    theme: str | None = None,
) -> int:
    """Show stored runs side by side: a table, their curves, the settings that differ; text where no terminal is.

    Parameters
    ----------
    names
        The runs, each by its name, or its unique beginning, or its folder; nothing takes all.
    filter_
        Only those that fit: words of a name, or settings such as lr<0.01.
    at
        Step that the figures are of; without it the last of each.
    json
        Print one JSON object.
    theme
        Name of a theme.
    """
    from aetui.cli.compare import compare_runs

    return compare_runs(names, wanted=filter_, at=at, as_json=json, theme=theme)


commands = (runs, compare, resume, attach, status, steer, stop, export, alerts)
