"""Ready-made specs: the classic examples, healthy runs and known failures, one TOML file each.

A file states what differs from the defaults, and in [about] what it shows and what to change. The known
failures and what is easily taken for one are in clinic/, named `clinic/NAME`: there [about] has the cause
too, '' where nothing is wrong, and its knobs are the repair.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path

from aetui.report import CAUSES
from aetui.spec import RunSpec, SpecError, loads
from aetui.spec import load as load_file
from aetui.spec.errors import Problem, nearest

DEFAULT = "digits"

CLASSICS = ("latent-and-loss", "bad-init", "lr-and-clipping")

CLINIC = "clinic/"
"""What the names of the known failures begin with."""


@cache
def names() -> tuple[str, ...]:
    """Every preset but those of the clinic: the classic examples, then the default, then the others by name."""
    found = _specs_in("")
    first = (*CLASSICS, DEFAULT)
    return (*first, *sorted(found.difference(first)))


@cache
def clinic_names() -> tuple[str, ...]:
    """Every known failure by cause, in the order of the causes, then what is easily taken for one."""

    def order(name: str) -> tuple[int, str]:
        cause = _loaded(name).about.cause
        return CAUSES.index(cause) if cause else len(CAUSES), name

    return tuple(sorted(map(CLINIC.__add__, _specs_in(CLINIC)), key=order))


def load(name: str) -> RunSpec:
    """The spec of a preset.

    Raises:
        SpecError: there is no preset of that name.
    """
    if not is_preset(name):
        raise SpecError([Problem("preset", f"there is no preset {name!r}; {_nearest(name)}")])
    return _loaded(name)


def summary(name: str) -> str:
    """What a preset shows, in one line."""
    return load(name).about.title


def resolve(target: str | None) -> RunSpec:
    """The spec that a command line names: a preset, a path to a TOML file, or None for the digits.

    Raises:
        SpecError: it is neither, or the file is refused.
    """
    if target is None:
        return load(DEFAULT)
    if is_preset(target):
        return load(target)
    path = Path(target).expanduser()
    if path.suffix.lower() == ".toml":
        return load_file(path)
    if target and path.exists():
        text = f"{target!r} is neither a preset nor a .toml file; data goes with --data {target}"
    else:
        close = _nearest(target)
        also = " A" if close.endswith("?") else "; a"
        text = f"there is no preset {target!r}; {close}{also} path to a .toml file is taken too"
    raise SpecError([Problem("target", text)])


def is_preset(name: str) -> bool:
    """Whether there is a preset of that name."""
    return name in names() or (name.startswith(CLINIC) and name.removeprefix(CLINIC) in _specs_in(CLINIC))


def _nearest(name: str) -> str:
    return nearest(name, clinic_names() if name.startswith(CLINIC) else names())


@cache
def _specs_in(folder: str) -> frozenset[str]:
    """The names of the TOML files of a folder, without their suffix."""
    entries = files(__name__).joinpath(folder).iterdir()
    return frozenset(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


@cache
def _loaded(name: str) -> RunSpec:
    return loads(files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8"), source=f"preset {name}")
