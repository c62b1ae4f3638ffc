"""Options that several commands share, and the spec that they add up to."""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from aetui import presets
from aetui.spec import Problem, RunSpec, SpecError, changed
from aetui.spec.sections import About, File


def spec_of(target: str | None, data: str | None, sets: Sequence[str]) -> RunSpec:
    """The spec that TARGET, `--data` and `--set` name together; later ones win.

    Raises:
        SpecError: any of them is unknown or refused; every problem is listed.
    """
    spec = presets.resolve(target)
    if data is not None:
        if not data.strip():
            raise SpecError([Problem("--data", "'' is not allowed; it takes a file, or a folder of images")])
        # Another data set: neither the scaling nor the story of the target's own data fits it.
        spec = replace(spec, data=File(path=str(Path(data).expanduser())), about=About())
    changes: dict[str, str] = {}
    for item in sets:
        path, equals, value = item.partition("=")
        if not equals or not path.strip():
            raise SpecError(
                [Problem("--set", f"{item!r} is not allowed; it takes section.key=value, such as optim.lr=3e-4")]
            )
        changes[path.strip()] = value
    return changed(spec, changes, text=True)
