"""The engine starts whatever lies in the folder that the user works in."""

import threading
from pathlib import Path

import pytest

from aetui import protocol as p
from aetui.engine.links import ProcessLink
from aetui.runs.folder import RunFolder


def test_modules_in_the_working_folder_do_not_shadow_those_of_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("random", "queue", "socket", "msgspec"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('a file of the user')\n")
    monkeypatch.chdir(tmp_path)
    log = RunFolder.create("shadow").log
    link = ProcessLink("shadow", str(log))
    answered = threading.Event()
    got: list[p.Reply | str] = []

    def take(reply: p.Reply | str) -> None:
        got.append(reply)
        answered.set()

    link.connect(take, take)
    try:
        assert answered.wait(60)
        assert isinstance(got[0], p.Hello), log.read_text()
    finally:
        link.close()
