"""Runs somebody's script as Python itself would, with the finder waiting for PyTorch.

It is the main program of a process of its own (`START`), and loads nothing that the script has not asked for: torch may
only come when the script imports it, since what it sets before that counts.
"""

from __future__ import annotations

import builtins
import importlib.util
import json
import os
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from typing import Any

START = (
    "import sys; sys.path[:1] == [''] and sys.path.pop(0); root = sys.argv.pop(1)\n"
    "try: import aetui.watching.script as script\n"
    "except ImportError: sys.path.append(root); import aetui.watching.script as script\n"
    "script.main()"
)
"""For `python -c`, which leaves the folders of the script's own to be put first."""


def command(told: dict[str, Any], arguments: list[str]) -> list[str]:
    """The command that runs a script under the runner.

    told: `script` or `module`, and what the finder is to know (`aetui.watching.told.Told`).
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # As `python -u` has it, which launchers use.
    flags = ["-u"] if getattr(sys.stdout, "write_through", False) else []
    return [sys.executable, *flags, "-c", START, root, json.dumps(told), *arguments]


def main() -> None:
    """Become the script."""
    become(json.loads(sys.argv.pop(1)))


def become(told: dict[str, Any]) -> None:
    """Run the script as `__main__`, with the arguments that `sys.argv` has after its first."""
    if told.get("output"):
        _write_lines()
    for number in (told.get("control"), told.get("typed")):
        if number is not None:
            os.set_inheritable(number, False)
    if os.environ.get("AETUI_WATCH", "1").strip().lower() not in ("0", "false", "no", "off"):
        if "torch" in sys.modules:
            _find(told)
        else:
            _wait_for_torch(lambda: _find(told))
    module = types.ModuleType("__main__")
    if "__annotations__" in vars(sys.modules["__main__"]):
        module.__annotations__ = {}
    sys.modules["__main__"] = module
    try:
        code = _of_module(told["module"], module) if told.get("module") else _of_file(told["script"], module)
        exec(code, module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        sys.excepthook = _stripped(sys.excepthook)
        if (note := getattr(sys.modules.get("aetui.watching.finding"), "note_end", None)) is not None:
            note(error)
        raise


def _of_file(file: str, module: types.ModuleType) -> types.CodeType:
    sys.argv[0] = file
    path = os.path.abspath(file)
    sys.path.insert(0, os.path.dirname(os.path.realpath(file)))
    module.__dict__.update(
        __file__=path, __builtins__=builtins, __loader__=SourceFileLoader("__main__", path), __cached__=None,
        __package__=None,
    )  # fmt: skip
    with open(path, "rb") as source:
        text = source.read()
    return compile(text, path, "exec", dont_inherit=True)


def _of_module(name: str, module: types.ModuleType) -> types.CodeType:
    sys.argv[0] = "-m"
    sys.path.insert(0, os.getcwd())
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name += ".__main__"
            spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        spec = None
    get_code: Any = getattr(None if spec is None else spec.loader, "get_code", None)
    code = None if get_code is None else get_code(name)
    if spec is None or code is None:
        sys.exit(f"{sys.executable}: No module named {name}")
    sys.argv[0] = spec.origin or name
    module.__dict__.update(
        __file__=spec.origin, __builtins__=builtins, __loader__=spec.loader, __cached__=spec.cached, __spec__=spec,
        __package__=spec.parent,
    )  # fmt: skip
    return code


def _stripped(hook: Any) -> Any:
    """What the script raises is shown as if nobody had run it."""
    own = sys.modules[__name__].__file__

    def hooked(kind: Any, error: BaseException, trace: types.TracebackType | None) -> None:
        while trace is not None and trace.tb_frame.f_code.co_filename in ("<string>", own):
            trace = trace.tb_next
        hook(kind, error.with_traceback(trace), trace)

    return hooked


def _write_lines() -> None:
    """Into a file, Python and C write whole blocks; whoever looks on wants lines."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue]
    with suppress(Exception):
        import ctypes

        library = ctypes.CDLL(None)
        library.setvbuf(ctypes.c_void_p.in_dll(library, "stdout"), None, 1, 0)


# --- finding --------------------------------------------------------------------------------------


class _Waiting:
    """Tells when torch has been imported: a finder of modules that finds none."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "torch":
            return None
        with suppress(ValueError):
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        loader: Any = None if spec is None else spec.loader
        if loader is None:
            return spec
        original, then = loader.exec_module, self._then

        def exec_module(module: types.ModuleType) -> None:
            with suppress(AttributeError):
                del loader.exec_module
            original(module)
            then()

        with suppress(AttributeError):
            loader.exec_module = exec_module
        return spec


def _wait_for_torch(then: Callable[[], None]) -> None:
    sys.meta_path.insert(0, _Waiting(then))  # pyright: ignore[reportArgumentType]


def _find(told: dict[str, Any]) -> None:
    """Nothing that goes wrong here is the script's business."""
    try:
        from aetui.watching.finding import begin

        begin(told)
    except Exception as error:  # noqa: BLE001 - the script trains on
        with suppress(OSError):
            print(f"aetui: the script is not watched: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
