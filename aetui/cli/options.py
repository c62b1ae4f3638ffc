"""Options that several commands share, and the spec that they add up to."""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from aetui import presets
from aetui.data.errors import DataError
from aetui.models.errors import ModelError
from aetui.spec import Problem, RunSpec, SpecError, changed
from aetui.spec.change import PRESET
from aetui.spec.naming import argument_text, arguments, given_arguments, located
from aetui.spec.sections import About, File, OwnModel, PytorchInit


def spec_of(
    target: str | None,
    data: str | None,
    sets: Sequence[str],
    model: str | None = None,
    args: Sequence[str] = (),
    sets_option: str = "--set",
) -> RunSpec:
    """The spec that TARGET, `--data`, `--model`, `--model-arg` and `--set` name together; later ones win.

    Args:
        sets_option: what `sets` were written after.

    Raises:
        SpecError: any of them is unknown or refused; every problem is listed.
    """
    spec = presets.resolve(target)
    if data is not None:
        if not data.strip():
            raise SpecError([Problem("--data", "'' is not allowed; it takes a file, or a folder of images")])
        # Another data set: neither the scaling nor the story of the target's own data fits it.
        spec = replace(spec, data=File(path=str(Path(data).expanduser())), about=About())
    if model is not None:
        # A model from a file brings its own initial weights, and the target's story was of another.
        spec = replace(spec, model=OwnModel(path=_model_path(model)), init=PytorchInit(), about=About())
        if data is not None or target is None:
            # Its author has brought the data into the form that it takes.
            spec = replace(spec, data=replace(spec.data, scaling="none"))
    if args:
        spec = _with_arguments(spec, args)
    return changed(spec, changes_of(sets, sets_option), text=True)


def changes_of(items: Sequence[str], option: str) -> dict[str, str]:
    """`section.key=value` texts as values by path.

    Raises:
        SpecError: one of them is no such text; `option` is what it was written after.
    """
    changes: dict[str, str] = {}
    for item in items:
        path, equals, value = item.partition("=")
        if not equals or not path.strip():
            clause = f"{item!r} is not allowed; it takes section.key=value, such as optim.lr=3e-4"
            raise SpecError([Problem(option, clause)])
        changes[path.strip()] = value
    return changes


def _model_path(text: str) -> str:
    """`file.py:name` with the file's absolute path, so that the spec means the same from every folder.

    Raises:
        SpecError: it has another form, or there is no such file or module.
    """
    return text.strip() if text.strip().startswith(PRESET) else own_code("--model", text)


def own_code(option: str, text: str) -> str:
    """`file.py:name` with the file's absolute path, from that or from `package.module:name`.

    Raises:
        SpecError: it has another form, or there is no such file or module.
    """
    try:
        return located(text)
    except ValueError as error:
        raise SpecError([Problem(option, str(error))]) from None


def _with_arguments(spec: RunSpec, items: Sequence[str]) -> RunSpec:
    """The spec with arguments for its own model's constructor.

    Raises:
        SpecError: it has no model of the user's own, or one of them has another form.
    """
    if not isinstance(spec.model, OwnModel):
        raise SpecError([Problem("--model-arg", "it goes with --model, or with a spec whose model.kind is file")])
    try:
        known = {**arguments(spec.model.args), **given_arguments(items)}
    except ValueError as error:
        raise SpecError([Problem("--model-arg", str(error))]) from None
    return replace(spec, model=replace(spec.model, args=argument_text(known)))


def problem_of(error: DataError | ModelError) -> Problem:
    """What is wrong with a run's data or model, as a problem of the setting at fault."""
    path = error.path or "data"
    return Problem(path, str(error).removeprefix(f"{path}: "))
