"""The commands."""

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter, validators
from cyclopts.exceptions import CycloptsError

from aetui import __version__
from aetui.cli.stored import Flag
from aetui.cli.stored import commands as stored_commands
from aetui.cli.tools import commands as tool_commands
from aetui.spec import SpecError

log = logging.getLogger(__name__)

app = App(
    name="aetui",
    version=__version__,
    version_flags=["--version"],
    help="A terminal workbench for autoencoders: train, watch, pause, tweak, resume.",
    help_format="plaintext",
)

Target = Annotated[str | None, Parameter(show_default=False)]
Data = Annotated[str | None, Parameter(name="--data", show_default=False)]
Model = Annotated[str | None, Parameter(name="--model", show_default=False)]
Args = Annotated[tuple[str, ...], Parameter(name="--model-arg", show_default=False, negative=())]
Own = Annotated[str | None, Parameter(show_default=False)]
Name = Annotated[str | None, Parameter(show_default=False)]
Sets = Annotated[tuple[str, ...], Parameter(name="--set", show_default=False, negative=())]


@app.default
@app.command
def run(
    target: Target = None,
    /,
    *,
    data: Data = None,
    model: Model = None,
    model_arg: Args = (),
    set_: Sets = (),
    engine: Literal["process", "thread"] | None = None,
    start: Flag = False,
    theme: str | None = None,
    name: Name = None,
) -> int:
    """Open the workbench on a run, paused at step 0.

    Parameters
    ----------
    target
        A preset's name or a TOML spec; nothing opens the digits.
    data
        A .npy, .npz, .csv, .tsv, .parquet or .pt file, or a folder of images.
    model
        Your own torch.nn.Module, as file.py:name or package.module:name; its code is run.
    model_arg
        key=value that it is called with, such as latent_dim=3; repeatable.
    set_
        section.key=value, such as optim.lr=3e-4; repeatable.
    engine
        Where training runs: a process of its own (default), or a thread of the screen's.
    start
        Begin to train at once.
    theme
        Name of a theme.
    name
        Name that the run is stored under; without it two words and a number.
    """
    from aetui.cli.options import spec_of
    from aetui.cli.screen import open_screen

    return open_screen(
        spec_of(target, data, set_, model, model_arg), placement=engine, start=start, theme=theme, name=name
    )


@app.command
def train(
    target: Target = None,
    /,
    *,
    steps: int | None = None,
    data: Data = None,
    model: Model = None,
    model_arg: Args = (),
    set_: Sets = (),
    json: Flag = False,
    quiet: Flag = False,
    name: Name = None,
) -> int:
    """Train without a screen and print what came out; aetui attach shows it meanwhile.

    Parameters
    ----------
    target
        A preset's name or a TOML spec; nothing takes the digits.
    steps
        Steps to train; without it the spec's own number.
    data
        A .npy, .npz, .csv, .tsv, .parquet or .pt file, or a folder of images.
    model
        Your own torch.nn.Module, as file.py:name or package.module:name; its code is run.
    model_arg
        key=value that it is called with, such as latent_dim=3; repeatable.
    set_
        section.key=value, such as optim.lr=3e-4; repeatable.
    json
        Print one JSON object instead of a table.
    quiet
        Don't say how far it has come.
    name
        Name that the run is stored under; without it two words and a number.
    """
    from aetui.cli.options import spec_of
    from aetui.cli.train import train_headless

    spec = spec_of(target, data, set_, model, model_arg)
    return train_headless(spec, steps=steps, as_json=json, quiet=quiet, name=name)


@app.command
def diagnose(
    target: Target = None,
    /,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    probes: bool | None = None,
    data: Data = None,
    model: Model = None,
    model_arg: Args = (),
    loss: Own = None,
    step: Own = None,
    set_: Sets = (),
    verify: Flag = False,
    json: Flag = False,
) -> int:
    """Train without a screen and say what is wrong and why, or say it of a run; status 0 where nothing is.

    Parameters
    ----------
    target
        A preset's name or a TOML spec, or else a stored run's name, whose verdict is told as it stands; nothing takes
        the digits.
    steps
        Steps to train; without it the diagnosis stops when its verdict is settled.
    seconds
        Time for the whole; without it three times the training, and at most two minutes beyond it.
    probes
        Check suspects in short trainings of copies; of a run only if asked to, since it pauses for them.
    data
        A .npy, .npz, .csv, .tsv, .parquet or .pt file, or a folder of images.
    model
        Your own torch.nn.Module, as file.py:name or package.module:name; its code is run.
    model_arg
        key=value that it is called with, such as latent_dim=3; repeatable.
    loss
        Your own loss, (output, target), as file.py:name; its code is run.
    step
        Your own training step, (model, batch) to the loss, as file.py:name; its code is run.
    set_
        section.key=value, such as optim.lr=3e-4; repeatable.
    verify
        Try the remedies afterwards on forks beside controls, and mark each as verified or not.
    json
        Print one JSON object instead of a text.
    """
    from aetui.cli.diagnose import diagnose_and_print
    from aetui.cli.options import spec_of
    from aetui.cli.run_verdict import diagnose_run, refuse_options, stored_run

    if (folder := stored_run(target)) is not None:
        refuse_options(
            folder,
            {
                "--steps": steps, "--seconds": seconds, "--data": data, "--model": model, "--model-arg": model_arg,
                "--loss": loss, "--step": step, "--set": set_,
            },
        )  # fmt: skip
        return diagnose_run(folder, probes=bool(probes), as_json=json, verify=verify)
    spec = spec_of(target, data, set_, model, model_arg)
    return diagnose_and_print(
        spec, steps=steps, as_json=json, seconds=seconds, probes=probes is not False, loss=loss, step=step,
        verify=verify,
    )  # fmt: skip


@app.command(name="try")
def try_(
    target: Target = None,
    /,
    *,
    set_: Sets = (),
    steps: int | None = None,
    seeds: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 0,
    forks: Annotated[int, Parameter(validator=validators.Number(gte=2))] = 8,
    remedies: bool = True,
    random: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 1,
    seed: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 0,
    base: Annotated[tuple[str, ...], Parameter(name="--base", show_default=False, negative=())] = (),
    data: Data = None,
    model: Model = None,
    model_arg: Args = (),
    adopt: Flag = False,
    fork: Annotated[str | None, Parameter(show_default=False)] = None,
    name: Name = None,
    write: Annotated[Path | None, Parameter(show_default=False)] = None,
    json: Flag = False,
) -> int:
    """Try changes side by side on forks of a run, beside controls, and say which one works; status 0 where one does.

    Parameters
    ----------
    target
        A preset's name or a TOML spec, or else a stored run's name; nothing takes the digits.
    set_
        A change of yours, one fork each: section.key=value, several settings with commas between; repeatable.
    steps
        Steps of each fork; without it as many as the loss needs to move.
    seeds
        Seeds on which the winner is trained anew, beside the run without a change.
    forks
        Forks at most, with the controls; yours are tried however many they are.
    remedies
        Try the remedies of the diagnosis, which is made first where there is none.
    random
        Draws of random search beside them.
    seed
        Seed of the random search.
    base
        section.key=value of the run itself, as --set of the other commands; repeatable.
    data
        A .npy, .npz, .csv, .tsv, .parquet or .pt file, or a folder of images.
    model
        Your own torch.nn.Module, as file.py:name or package.module:name; its code is run.
    model_arg
        key=value that it is called with, such as latent_dim=3; repeatable.
    adopt
        Go on with the winner: a stored run with its change as a tweak, or a new run with its spec.
    fork
        The fork to adopt or write, by its name in the table, in place of the winner.
    name
        Name of the new run that --adopt begins.
    write
        File to write the winner's spec to.
    json
        Print one JSON object instead of a table.
    """
    from aetui.cli.adopt import Adoption
    from aetui.cli.options import spec_of
    from aetui.cli.run_verdict import refuse_options, stored_run
    from aetui.cli.whatif import COMMAND, try_changes

    adoption = Adoption(adopt, fork, name, write)
    if (folder := stored_run(target, COMMAND)) is not None:
        refuse_options(folder, {"--base": base, "--data": data, "--model": model, "--model-arg": model_arg})
    return try_changes(
        folder or spec_of(target, data, base, model, model_arg, sets_option="--base"),
        folder.name if folder else target or "digits",
        sets=set_, steps=steps, seeds=seeds, forks=forks, draws=random, seed=seed, remedies=remedies, as_json=json,
        adoption=adoption,
    )  # fmt: skip


@app.command
def watch(
    *arguments: Annotated[str, Parameter(show=False)],
    module: Annotated[str | None, Parameter(name=["--module", "-m"], show_default=False)] = None,
    headless: Flag = False,
    name: Name = None,
    theme: str | None = None,
    model_is: Annotated[str | None, Parameter(show_default=False)] = None,
    probe_rows: Annotated[int, Parameter(validator=validators.Number(gte=2))] = 512,
    reconstruct: Annotated[str | None, Parameter(show_default=False)] = None,
    target: Annotated[str | None, Parameter(show_default=False)] = None,
    loss: Annotated[str | None, Parameter(show_default=False)] = None,
) -> int:
    """Run a script of your own, untouched, and open the screen on it: aetui watch [OPTIONS] SCRIPT [ARGUMENTS].

    What follows the script, or -m and its module, are its own arguments.

    Parameters
    ----------
    module
        Run a module as a script, as python -m does.
    headless
        No screen: the script prints as ever; aetui attach shows the run.
    name
        Name that the run is stored under; without it two words and a number.
    theme
        Name of a theme.
    model_is
        The model that is watched, by its class, its variable or its attribute, where another was taken for it.
    probe_rows
        Rows of the first batches to measure on.
    reconstruct
        file.py:f with f(model, rows), which returns the reconstruction; its code is run.
    target
        file.py:f with f(rows), which returns what the reconstruction is compared with; its code is run.
    loss
        Reconstruction loss by name, such as mse, where another was taken for it.
    """
    from aetui.cli.watch import watch_script

    told = {
        "name": name, "model_is": model_is or "", "probe_rows": probe_rows, "reconstruct": reconstruct or "",
        "target": target or "", "loss": loss or "",
    }  # fmt: skip
    return watch_script(arguments, module=module, headless=headless, theme=theme, told=told)


for command in (*stored_commands, *tool_commands):
    app.command(command)


@app.command
def spec(
    target: Target = None, /, *, data: Data = None, model: Model = None, model_arg: Args = (), set_: Sets = ()
) -> int:
    """Print a spec as TOML, every setting with its help.

    Parameters
    ----------
    target
        A preset's name or a TOML spec; nothing takes the digits.
    data
        A .npy, .npz, .csv, .tsv, .parquet or .pt file, or a folder of images.
    model
        Your own torch.nn.Module, as file.py:name or package.module:name; its code is run.
    model_arg
        key=value that it is called with, such as latent_dim=3; repeatable.
    set_
        section.key=value, such as optim.lr=3e-4; repeatable.
    """
    from aetui.cli.options import spec_of
    from aetui.spec import dumps

    print(dumps(spec_of(target, data, set_, model, model_arg)), end="")
    return 0


def run_command(arguments: Sequence[str]) -> int:
    """Run a command; bad input is one sentence per problem on stderr and status 2."""
    if arguments[:1] == ["watch"]:
        from aetui.cli.watch import parted

        arguments = ["watch", *parted(arguments[1:])]
    try:
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        _complain(" ".join(str(error).split()))
        return 2
    except SpecError as error:
        for problem in error.problems:
            _complain(str(problem))
        return 2
    return result if isinstance(result, int) else 0


def _complain(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"aetui: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """`run_command`, ending quietly where the reader of a pipe has gone or ctrl+c was pressed.

    What can't be written, to standard output or elsewhere, is one sentence and status 1.
    """
    try:
        status = run_command(arguments)
        sys.stdout.flush()
        _drop_unsaid()
        return status
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            sys.stderr.close()
        return 0
    except OSError as error:
        return _unwritten(error)
    except KeyboardInterrupt:
        return 130


def _drop_unsaid() -> None:
    """What standard error did not take would fail again when the interpreter ends, and change the status."""
    try:
        sys.stderr.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)


def _unwritten(error: OSError) -> int:
    """Say what the system refused."""
    log.info("a command failed", exc_info=error)
    where = error.filename or "standard output"
    _complain(f"{where}: {error.strerror or error}")
    # What is still in the buffer would fail again, with a traceback, when the interpreter ends.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return 1
