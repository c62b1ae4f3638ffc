"""Settings of every test: nothing depends on the clock, on chance or on the user's own files."""

import gc
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from aetui.spec import RunSpec
from aetui.spec.fields import SECTIONS, Field, fields_of

# One thread per operation keeps parallel test processes from fighting over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("aetui", deadline=None, derandomize=True)
settings.load_profile("aetui")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests on terminals wait for programs half of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """What imports have made, some 300,000 objects, is looked through by no collection of garbage and no search."""
    gc.freeze()


def spec_fields(spec: RunSpec) -> Iterator[tuple[Field, Any]]:
    """Every setting of `spec` with its value, section by section; kinds are not among them."""
    for section in SECTIONS:
        part = getattr(spec, section)
        for field in fields_of(type(part)).values():
            yield field, getattr(part, field.name)


@pytest.fixture(autouse=True)
def private_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Settings, themes and logs go to a folder of the test's own."""
    home = tempfile.mkdtemp(prefix="aetui-test-")
    monkeypatch.setenv("AETUI_HOME", home)
    monkeypatch.setenv("AETUI_CONFIG", f"{home}/config")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    if os.environ.get("TERM", "dumb") == "dumb":
        monkeypatch.setenv("TERM", "xterm-256color")
    yield home
    shutil.rmtree(home, ignore_errors=True)


class Clock:
    """A clock that stands still until a test moves it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In the place of the clocks that durations are measured with."""
    found = Clock()
    monkeypatch.setattr(time, "monotonic", found)
    monkeypatch.setattr(time, "perf_counter", found)
    return found
