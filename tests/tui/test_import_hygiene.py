"""The screen's process never imports torch, and importing aetui alone imports next to nothing."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "textual", "numpy", "plotext", "rich", "polars", "PIL")


def imported(statement: str) -> set[str]:
    """The heavy packages that a fresh interpreter has in memory after a statement."""
    code = f"import json, sys\n{statement}\nprint(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_aetui_alone_is_light():
    assert imported("import aetui") == set()


def test_the_command_line_loads_neither_torch_nor_the_screen():
    assert imported("import aetui.cli.main") & {"torch", "textual", "numpy", "plotext"} == set()


@pytest.mark.parametrize(
    "module",
    [
        "aetui.tui.app",
        "aetui.cli.screen",
        "aetui.engine.links",
        "aetui.spec",
        "aetui.tui.compare.app",
        "aetui.cli.compare",
    ],
)
def test_what_the_screen_is_made_of_loads_no_torch(module):
    assert "torch" not in imported(f"import {module}")


def test_the_names_of_aetui_are_there_when_asked_for():
    assert "torch" not in imported("from aetui import RunSpec, SpecError; RunSpec()")
    assert "textual" not in imported("from aetui import Trainer; Trainer")
