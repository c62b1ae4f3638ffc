"""Ready-made specs: the classic examples and healthy runs on real data, one TOML file each.

A file states what differs from the defaults, and in [about] what it shows and what to change.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path

from aetui.spec import RunSpec, SpecError, loads
from aetui.spec import load as load_file
from aetui.spec.errors import Problem, nearest

DEFAULT = "digits"

CLASSICS = ("latent-and-loss", "bad-init", "lr-and-clipping")


@cache
def names() -> tuple[str, ...]:
    """Every preset: the classic examples, then the default, then the others by name."""
    found = {entry.name.removesuffix(".toml") for entry in files(__name__).iterdir() if entry.name.endswith(".toml")}
    first = (*CLASSICS, DEFAULT)
    return (*first, *sorted(found.difference(first)))


def load(name: str) -> RunSpec:
    """The spec of a preset.

    Raises:
        SpecError: there is no preset of that name.
    """
    if name not in names():
        raise SpecError([Problem("preset", f"there is no preset {name!r}; {nearest(name, names())}")])
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
    if target in names():
        return load(target)
    path = Path(target).expanduser()
    if path.suffix.lower() == ".toml":
        return load_file(path)
    if target and path.exists():
        text = f"{target!r} is neither a preset nor a .toml file; data goes with --data {target}"
    else:
        close = nearest(target, names())
        also = " A" if close.endswith("?") else "; a"
        text = f"there is no preset {target!r}; {close}{also} path to a .toml file is taken too"
    raise SpecError([Problem("target", text)])


@cache
def _loaded(name: str) -> RunSpec:
    return loads(files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8"), source=f"preset {name}")
