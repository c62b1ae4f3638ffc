"""`aetui train` and `aetui resume --headless`: a run without a screen."""

from collections.abc import Callable, Sequence

from aetui import protocol as p
from aetui.cli.headless import Headless
from aetui.cli.options import problem_of
from aetui.cli.progress import say
from aetui.cli.screen import new_folder
from aetui.data import DataError
from aetui.engine.crash import log_exits
from aetui.engine.journal import record
from aetui.engine.logs import log_to
from aetui.models.errors import ModelError
from aetui.runs.database import DamagedDatabase
from aetui.runs.folder import RunError, RunFolder
from aetui.runs.recording import Recording
from aetui.runs.replay import Interrupted
from aetui.spec import Problem, RunSpec, SpecError
from aetui.training.remarks import warnings
from aetui.training.spec_training import SpecTraining, trainer_of
from aetui.training.trainer import Trainer


def train_headless(
    spec: RunSpec,
    *,
    steps: int | None,
    as_json: bool,
    quiet: bool = False,
    name: str | None = None,
    story: Sequence[str] = (),
) -> int:
    """Train, and print the outcome; status 1 where loss or gradient stopped being finite.

    Args:
        story: how the run came about, as the first lines of its journal.

    Raises:
        SpecError: the spec, its data or its model can't be used, there is no number of steps, or the name is taken.
    """
    _check_steps(steps)
    trainer = _built(spec)
    if (steps or trainer.goal) is None:
        raise SpecError([Problem("--steps", "missing; the spec sets neither train.steps nor train.epochs")])
    folder, problems = new_folder(name)
    log_to(str(folder.log))
    log_exits(say)
    for problem in (*problems, *warnings(trainer)):
        say(problem)
    try:
        recording = Recording.begin(folder, SpecTraining(trainer), wanted=steps)
        for line in story:
            record(recording, p.Noted(text=line))
    except (RunError, DamagedDatabase) as error:
        raise SpecError([Problem("AETUI_HOME", str(error))]) from None
    return Headless(recording, as_json=as_json, quiet=quiet).train([])


def resume_headless(folder: RunFolder, *, steps: int | None, as_json: bool, quiet: bool = False) -> int:
    """Continue a stored run up to the steps first asked for, or `steps` in all, and print the outcome.

    Raises:
        SpecError: the run is in training, or its data or model can't be used.
    """
    _check_steps(steps)

    def prepare(recording: Recording) -> None:
        goal = steps or recording.goal
        done = recording.training.steps.done
        if goal is None:
            raise SpecError([Problem("--steps", f"missing; the run stands at step {done:,} and has no end of its own")])
        if goal < done:
            hint = "it takes at least that, and counts from the run's first step"
            raise SpecError([Problem("--steps", f"{goal:,} is not allowed; the run stands at step {done:,}; {hint}")])
        for warning in warnings(trainer_of(recording.training)):
            say(warning)
        if steps is not None:
            recording.want(steps)

    return go_on(folder, "aetui resume", prepare, as_json=as_json, quiet=quiet)


def go_on(
    folder: RunFolder, option: str, prepare: Callable[[Recording], None], *, as_json: bool = False, quiet: bool = False
) -> int:
    """Train a stored run on from the end of its record, and print the outcome.

    Args:
        option: what names the run on the command line.
        prepare: called once the run stands there; what it raises leaves the run as it was.

    Raises:
        SpecError: the run is in training, or its record, data or model can't be used.
    """
    log_to(str(folder.log))
    log_exits(say)
    try:
        recording, remarks = Recording.open(folder)
    except (RunError, DamagedDatabase) as error:
        raise SpecError([Problem(option, str(error))]) from None
    except (DataError, ModelError) as error:
        raise SpecError([problem_of(error)]) from None
    headless = Headless(recording, as_json=as_json, quiet=quiet)
    try:
        remarks += headless.go_to_end()
        prepare(recording)
    except Interrupted:
        recording.close("")
        return headless.interrupted
    except BaseException:
        recording.close("")
        raise
    return headless.train(remarks)


def _built(spec: RunSpec) -> Trainer:
    try:
        return Trainer(spec)
    except (DataError, ModelError) as error:
        raise SpecError([problem_of(error)]) from None


def _check_steps(steps: int | None) -> None:
    if steps is not None and steps < 1:
        raise SpecError([Problem("--steps", f"{steps} is not allowed; it takes a whole number of at least 1")])
