"""A user's model from their Python file: importing it, and calling what was named."""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib.util
import inspect
import logging
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from aetui.models.errors import ModelError, message
from aetui.models.guarded import refuse_script
from aetui.spec import RunSpec
from aetui.spec.change import PRESET
from aetui.spec.errors import nearest
from aetui.spec.naming import arguments

log = logging.getLogger(__name__)

WIDTHS = (
    "features", "n_features", "num_features", "in_features", "input_features", "input_dim", "input_size", "in_dim",
    "n_inputs", "feature_size", "feature_dim", "features_dim", "n_feature", "num_feature", "data_dim", "x_dim",
    "dim_in", "dim_input", "num_inputs", "n_input", "n_dim", "nb_features", "original_dim", "inp_dim",
)  # fmt: skip
"""Names of a parameter that takes the number of features."""
CHANNELS = ("in_channels", "input_channels", "img_channels", "image_channels", "num_channels", "n_channels")
"""Names of a parameter that takes the channels of image-shaped rows."""

_MODULE = "_aetui_user_model"
_BESIDE = "_aetui_user_function"
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

    The name is a subclass of `torch.nn.Module`, a function that returns a module, or a module. It is called with
    `spec.model.args` by name, and with what is known of the data: parameters called `spec` and `image_shape` take
    the RunSpec and the shape of a row, one of WIDTHS the number of features, one of CHANNELS the channels of images.
    A function's single other required parameter takes the RunSpec. All others need defaults.

    Importing and calling draw from the global generators of PyTorch, NumPy and Python, seeded by `seed`;
    all three are put back. What the file prints goes to stderr.

    Raises:
        ModelError: the file, the name or what it makes can't be used.
    """
    file, name = locate(path)
    given = arguments(getattr(spec.model, "args", ""))
    with _seeded(seed), contextlib.redirect_stdout(sys.stderr):
        made = _named(_imported(file), file, name)
        if isinstance(made, nn.Module):
            if given:
                raise ModelError("model.args", f"{file.name}: {name} is a module already, which takes no arguments")
            # An object in the file may be shared with other objects there.
            return copy.deepcopy(made)
        call = call_of(made, f"{file.name}:{name}", given, known_of(spec, features, image_shape))
        try:
            made = made(spec) if call.alone else made(**call.named)
        except (Exception, SystemExit) as error:
            log.info("%s failed to make a model", path, exc_info=True)
            why = blame(error, file)
            if call.alone:
                why += f"; its {call.alone} is the run's settings, and where it is meant to be something else, "
                why += _say(call.alone)
            raise ModelError("model.path", f"{name} can't be made: {why}") from error
    if not isinstance(made, nn.Module):
        raise ModelError(
            "model.path", f"{file.name}: {name} returned {_kind(made)}; it has to return a torch.nn.Module"
        )
    return made


def function(path: str, setting: str) -> Callable[..., Any]:
    """The function, or the module of no arguments, that `file.py:name` names, to be called as it is.

    A file that the model was imported from is not imported again, so that both see the same classes.

    Raises:
        ModelError: the file or the name can't be used; `setting` is what the sentence speaks of.
    """
    file, name = locate(path)
    known = sys.modules.get(_MODULE)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            same = known is not None and getattr(known, "__file__", None) == str(file)
            module = known if same and known is not None else _beside(file, known)
            found = getattr(module, name, None)
            if inspect.isclass(found):
                found = found()
        except ModelError as error:
            raise ModelError(setting, str(error).removeprefix(f"{error.path}: ")) from error
        except (Exception, SystemExit) as error:
            log.info("%s can't be made", path, exc_info=True)
            raise ModelError(setting, f"{name} can't be made: {blame(error, file)}") from error
    if found is None:
        own = [key for key, value in vars(module).items() if callable(value) and value.__module__ == module.__name__]
        known_names = nearest(name, own) if own else "the file defines no function"
        raise ModelError(setting, f"{file.name}: there is no {name!r}; {known_names}")
    if not callable(found):
        raise ModelError(setting, f"{file.name}: {name} is {_kind(found)}; it takes a function")
    return found


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


def _imported(file: Path, called: str = _MODULE) -> ModuleType:
    """The file as a module, run anew from its text, with its own `sys.argv`; its folder, its package's and the
    current one are on the path."""
    refuse_script(file)
    if called == _MODULE:
        for name in _brought:
            sys.modules.pop(name, None)
        _brought.clear()
    spec = importlib.util.spec_from_file_location(called, file)
    assert spec is not None and isinstance(spec.loader, SourceFileLoader)
    module = importlib.util.module_from_spec(spec)
    before, writes = set(sys.modules), sys.dont_write_bytecode
    sys.modules[called] = module
    root = _root(file)
    places = list(dict.fromkeys((str(file.parent), str(root), str(Path.cwd()))))
    path, arguments = list(sys.path), sys.argv
    sys.path[:0] = places
    sys.argv = [str(file)]
    if root != file.parent:
        # What it imports relatively is found in its package.
        module.__package__ = ".".join(file.parent.relative_to(root).parts)
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
        _brought.update(name for name in set(sys.modules) - before if _lies_in(sys.modules[name], root))
    return module


def _beside(file: Path, model: ModuleType | None) -> ModuleType:
    """A further file as a module, to which the model's own is known under its usual name."""
    path = Path(getattr(model, "__file__", None) or "")
    if model is None or not path.name:
        return _imported(file, _BESIDE)
    parts = path.relative_to(_root(path)).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    before = sys.modules.get(name)
    sys.modules[name] = model
    try:
        return _imported(file, _BESIDE)
    finally:
        if before is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = before


def _root(file: Path) -> Path:
    """The folder that holds the file's outermost package; its own where it is in none.

    A file that imports relatively is in a package, with or without an `__init__.py`.
    """
    folder, least = file.parent, _dots(file)
    while (folder / "__init__.py").is_file() or least > 0:
        folder, least = folder.parent, least - 1
    return folder


def _dots(file: Path) -> int:
    """The most dots that an import of the file begins with; 0 where it can't be read."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError):
        return 0
    return max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)


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


class Call(NamedTuple):
    """What a maker is called with: the spec alone, in the first place, or arguments by name."""

    named: dict[str, Any]
    alone: str = ""
    """Name of the one parameter that takes the spec by its place, '' for none."""


def call_of(maker: Callable[..., Any], shown: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> Call:
    """What to call `maker` with.

    Args:
        given: by name, as the user says.
        known: by name, what follows from data and spec.

    Raises:
        ModelError: it needs something that is in neither, or does not take what is given.
    """
    try:
        parameters = list(inspect.signature(maker).parameters.values())
    except (TypeError, ValueError):
        return Call(dict(given))
    plain = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    names = [one.name for one in plain if one.kind is not one.POSITIONAL_ONLY]
    for name in given:
        if name not in names and not any(one.kind is one.VAR_KEYWORD for one in parameters):
            takes = f"; {nearest(name, names)}" if names else ""
            raise ModelError("model.args", f"{shown} takes no {name!r}{takes}")
    named = {name: given[name] if name in given else known[name] for name in names if name in given or name in known}
    named |= {name: value for name, value in given.items() if name not in named}
    missing = [one for one in plain if one.default is _NOTHING and one.name not in named]
    if not missing:
        return Call(named)
    first = missing[0]
    function = not inspect.isclass(maker) and first.annotation in (_NOTHING, RunSpec, "RunSpec")
    alone = len(missing) == 1 and not named and first.kind is not inspect.Parameter.KEYWORD_ONLY
    if alone and (function or first.annotation in (RunSpec, "RunSpec")):
        return Call({}, first.name)
    wanted = ", ".join(one.name for one in missing)
    raise ModelError("model.args", f"{shown} needs {wanted}, which the data don't tell; {_say(first.name)}")


def _say(name: str) -> str:
    return f"give it with --model-arg {name}=..., in a spec with model.args, or give it a default"


def known_of(spec: RunSpec, features: int, image_shape: tuple[int, ...]) -> dict[str, Any]:
    """What a constructor may ask for by name."""
    found = {"spec": spec, "image_shape": image_shape, **dict.fromkeys(WIDTHS, features)}
    if image_shape:
        found |= dict.fromkeys(CHANNELS, image_shape[0] if len(image_shape) == 3 else 1)
    return found
