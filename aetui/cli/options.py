"""Options that several commands share, and the spec that they add up to."""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from aetui import presets
from aetui.spec import Problem, RunSpec, SpecError, changed
from aetui.spec.change import PRESET
from aetui.spec.sections import About, File, OwnModel, PytorchInit


def spec_of(target: str | None, data: str | None, sets: Sequence[str], model: str | None = None) -> RunSpec:
    """The spec that TARGET, `--data`, `--model` and `--set` name together; later ones win.

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
    return changed(spec, changes_of(sets, "--set"), text=True)


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
        SpecError: it has another form, or there is no such file.
    """
    written, _, name = text.strip().rpartition(":")
    if not written.endswith(".py") or not name.isidentifier():
        example = "such as my_model.py:Autoencoder"
        raise SpecError([Problem("--model", f"{text!r} is not allowed; it takes file.py:name, {example}")])
    if written.startswith(PRESET):
        return text.strip()
    file = Path(written).expanduser().absolute()
    if not file.is_file():
        raise SpecError([Problem("--model", f"{written}: there is no such file")])
    return f"{file}:{name}"
