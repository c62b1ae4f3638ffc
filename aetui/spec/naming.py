"""How a user's own code is named, `file.py:name` or `package.module:name`, and the arguments it is called with."""

from __future__ import annotations

import ast
import keyword
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_LITERALS = (int, float, bool, str, list, tuple, dict, type(None))


def file_of_module(dotted: str) -> Path | None:
    """The file of a module by its name, looked for in the current folder and on the path; nothing of it is run.

    None where there is none, or where it is no Python file.
    """
    parts = dotted.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    for place in (Path.cwd(), *map(Path, filter(None, sys.path))):
        for file in (place.joinpath(*parts).with_suffix(".py"), place.joinpath(*parts, "__init__.py")):
            if file.is_file():
                return file.absolute()
    return None


def located(text: str) -> str:
    """`file.py:name` with the file's absolute path, from that or from `package.module:name`.

    Raises:
        ValueError: it has another form, or there is no such file or module; one sentence.
    """
    written, _, name = text.strip().rpartition(":")
    if "(" in name and written.endswith(".py"):
        raise ValueError(f"{text!r} is not allowed; arguments are given with --model-arg, such as --model-arg width=3")
    file = Path(written).expanduser().absolute() if written.endswith(".py") else file_of_module(written)
    dotted = bool(written) and all(part.isidentifier() for part in written.split("."))
    if not name.isidentifier() or not (written.endswith(".py") or dotted):
        raise ValueError(
            f"{text!r} is not allowed; it takes file.py:name or package.module:name, such as my_model.py:Autoencoder"
        )
    if file is None:
        raise ValueError(f"{written}: there is no such module, in the current folder or on Python's path")
    if not file.is_file():
        raise ValueError(f"{written}: there is no such file")
    return f"{file}:{name}"


def arguments(text: str) -> dict[str, Any]:
    """The values in `width=3, hidden=[64, 32], act="relu"`, by name.

    Raises:
        ValueError: it is no list of names with numbers, texts, lists, True, False or None; one sentence.
    """
    takes = "it takes key=value with commas between, such as latent_dim=3, hidden=[64, 32]"
    try:
        call = ast.parse(f"f({text}\n)", mode="eval").body
        assert isinstance(call, ast.Call)
        if call.args or any(one.arg is None for one in call.keywords):
            raise ValueError(text)
        found = {one.arg or "": ast.literal_eval(one.value) for one in call.keywords}
    except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError, TypeError):
        raise ValueError(f"{text!r} is not allowed; {takes}") from None
    if any(not isinstance(value, _LITERALS) for value in found.values()):
        raise ValueError(f"{text!r} is not allowed; {takes}")
    return found


def argument_text(values: Mapping[str, Any]) -> str:
    """The text that `arguments` reads back."""
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def given_arguments(items: Iterable[str]) -> dict[str, Any]:
    """The values of several `key=value`; a value is a Python literal, true, false, none, or else a text.

    Raises:
        ValueError: one has another form; one sentence.
    """
    found: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(f"{item!r} is not allowed; it takes key=value, such as latent_dim=3")
        found[name] = _typed(value.strip())
    return found


def _typed(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        return text
    return value if isinstance(value, _LITERALS) else text
