"""A user's model from their Python file: importing it, and calling what was named."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import inspect
import logging
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from aetui.models.errors import ModelError, message
from aetui.models.guarded import refuse_script
from aetui.spec import RunSpec
from aetui.spec.change import PRESET
from aetui.spec.errors import nearest

log = logging.getLogger(__name__)

WIDTHS = (
    "features", "n_features", "num_features", "in_features", "input_features", "input_dim", "input_size", "in_dim",
    "n_inputs",
)  # fmt: skip
"""Names of a parameter that takes the number of features."""

_MODULE = "_aetui_user_model"
_NOTHING = inspect.Parameter.empty
_brought: set[str] = set()
"""Modules that the last user's file imported from beside it; they are imported anew with the next."""


def locate(path: str) -> tuple[Path, str]:
    """The file and the name in it that `file.py:name` stands for.

    Raises:
        ModelError: there is no such file.
    """
    written, _, name = path.rpartition(":")
    if written.startswith(PRESET):
        parts = written.removeprefix(PRESET).split("/")
        file = Path(str(files("aetui.presets").joinpath(*parts)))
    else:
        file = Path(written).expanduser().absolute()
    if not file.is_file():
        raise ModelError("model.path", f"{written}: there is no such file")
    return file, name


def make(path: str, spec: RunSpec, features: int, image_shape: tuple[int, ...], seed: int) -> nn.Module:
    """The module that `file.py:name` describes, with the weights it gives itself.

    The name is a subclass of `torch.nn.Module`, a function that returns a module, or a module. Parameters
    called `spec` and `image_shape` take the RunSpec and the shape of a row, one of WIDTHS takes the number
    of features; a single other required parameter takes the RunSpec. All others need defaults.

    Importing and calling draw from the global generators of PyTorch, NumPy and Python, seeded by `seed`;
    all three are put back. What the file prints goes to stderr.

    Raises:
        ModelError: the file, the name or what it makes can't be used.
    """
    file, name = locate(path)
    with _seeded(seed), contextlib.redirect_stdout(sys.stderr):
        made = _named(_imported(file), file, name)
        if isinstance(made, nn.Module):
            # An object in the file may be shared with other objects there.
            return copy.deepcopy(made)
        arguments = _arguments(made, f"{file.name}:{name}", spec, features, image_shape)
        try:
            made = made(*arguments[0], **arguments[1])
        except (Exception, SystemExit) as error:
            log.info("%s failed to make a model", path, exc_info=True)
            raise ModelError("model.path", f"{name} can't be made: {blame(error, file)}") from error
    if not isinstance(made, nn.Module):
        raise ModelError(
            "model.path", f"{file.name}: {name} returned {_kind(made)}; it has to return a torch.nn.Module"
        )
    return made


def blame(error: BaseException, file: Path) -> str:
    """`my_model.py, line 12: NameError: name 'x' is not defined`, the line being the last one in the user's files."""
    said = message(error)
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    place = file.name
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).parent == file.parent:
            place = f"{Path(frame.filename).name}, line {frame.lineno}"
    return f"{place}: {text}"


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def _imported(file: Path) -> ModuleType:
    """The file as a module, run anew from its text, with its own `sys.argv`; its folder, its package's and the
    current one are on the path."""
    refuse_script(file)
    for name in _brought:
        sys.modules.pop(name, None)
    _brought.clear()
    spec = importlib.util.spec_from_file_location(_MODULE, file)
    assert spec is not None and isinstance(spec.loader, SourceFileLoader)
    module = importlib.util.module_from_spec(spec)
    before, writes = set(sys.modules), sys.dont_write_bytecode
    sys.modules[_MODULE] = module
    places = list(dict.fromkeys((str(file.parent), str(_root(file)), str(Path.cwd()))))
    path, arguments = list(sys.path), sys.argv
    sys.path[:0] = places
    sys.argv = [str(file)]
    if _root(file) != file.parent:
        # What it imports relatively is found in its package.
        module.__package__ = ".".join(file.parent.relative_to(_root(file)).parts)
    sys.dont_write_bytecode = True
    try:
        # Compiled here, since a cached one may be older than an edit within the same second.
        exec(spec.loader.source_to_code(file.read_bytes(), str(file)), module.__dict__)
    except (Exception, SystemExit) as error:
        log.info("%s can't be imported", file, exc_info=True)
        raise ModelError("model.path", blame(error, file)) from error
    finally:
        sys.dont_write_bytecode = writes
        sys.path[:], sys.argv = path, arguments
        _brought.update(name for name in set(sys.modules) - before if _lies_in(sys.modules[name], _root(file)))
    return module


def _root(file: Path) -> Path:
    """The folder that holds the file's outermost package; its own where it is in none."""
    folder = file.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _lies_in(module: ModuleType, folder: Path) -> bool:
    return Path(getattr(module, "__file__", None) or "/").is_relative_to(folder)


def _named(module: ModuleType, file: Path, name: str) -> Any:
    found = getattr(module, name, None)
    own = [key for key, value in vars(module).items() if callable(value) and value.__module__ == _MODULE]
    if found is None:
        known = nearest(name, own) if own else "the file defines no class and no function"
        raise ModelError("model.path", f"{file.name}: there is no {name!r}; {known}")
    usable = isinstance(found, nn.Module) or (
        issubclass(found, nn.Module) if inspect.isclass(found) else callable(found)
    )
    if not usable:
        what = "a class that is no torch.nn.Module" if inspect.isclass(found) else _kind(found)
        raise ModelError(
            "model.path",
            f"{file.name}: {name} is {what}; it takes a subclass of torch.nn.Module or a function that returns one",
        )
    return found


def _kind(value: object) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"


def _arguments(
    maker: Callable[..., Any], shown: str, spec: RunSpec, features: int, image_shape: tuple[int, ...]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What to call `maker` with."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return (), {}
    known = {"spec": spec, "image_shape": image_shape, **dict.fromkeys(WIDTHS, features)}
    named: dict[str, Any] = {}
    others: list[inspect.Parameter] = []
    for one in parameters:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            continue
        if one.name in known and one.kind is not one.POSITIONAL_ONLY:
            named[one.name] = known[one.name]
        elif one.default is _NOTHING:
            others.append(one)
    if len(others) == 1 and not named and others[0].kind is not inspect.Parameter.KEYWORD_ONLY:
        if others[0].annotation in (int, "int", float, "float"):
            raise ModelError(
                "model.path",
                f"{shown} takes {others[0].name}, a number that aetui can't know; give it a default, or call it "
                "features if it is the number of features",
            )
        return (spec,), {}
    if others:
        names = ", ".join(one.name for one in others)
        raise ModelError(
            "model.path",
            f"{shown} needs {names}, which aetui can't know; give defaults, or name a function that takes the spec "
            "and returns the module",
        )
    return (), named
