"""Runs that a script of its own trains and no spec assembled: which script, and how to go on with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from aetui.runs.database import DamagedDatabase, Database


def script_in(meta: Mapping[str, Any]) -> str:
    """The script that trains a run, from the `meta` of its record; '' for a run of a spec."""
    return "" if meta.get("spec") else meta.get("source", "")


def script_of(record: Path) -> str:
    """The script that trains a run with this record, '' for one of a spec and where the record can't be read."""
    try:
        with closing(Database(record, write=False)) as database:
            return script_in(database.meta())
    except (DamagedDatabase, sqlite3.Error, ValueError):
        return ""


def run_again(script: str) -> str:
    """What goes on with a run that this script trained, as a clause."""
    return f"run {'the notebook' if script == 'notebook' else script} again, which begins a new run"


def no_spec(name: str, then: str) -> str:
    """What can't be done with a run that no spec assembled."""
    return f"the run {name} was trained by a script of its own, {then}"


def only_its_script(name: str, script: str) -> str:
    """Why such a run can't be resumed."""
    return no_spec(name, f"which alone can train it: {run_again(script or 'that')}")
