"""Folders of runs: names, finding, holding, privacy."""

import os
import subprocess
import sys

import pytest

from aetui.runs.folder import RunError, RunFolder


def recorded(name: str | None = None) -> RunFolder:
    folder = RunFolder.create(name)
    folder.database.touch()
    return folder


def test_a_new_folder_is_the_users_alone():
    folder = RunFolder.create()
    for path in (folder.path, folder.path.parent, folder.checkpoints):
        assert path.stat().st_mode & 0o777 == 0o700
    assert folder.log.stat().st_mode & 0o777 == 0o600
    first, second, number = folder.name.split("-")
    assert first.isalpha() and second.isalpha() and number.isdigit()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp/x", "-x", "a b", "x" * 65, "näme"])
def test_names_that_are_none(name):
    with pytest.raises(RunError, match="is not allowed"):
        RunFolder.create(name)


def test_a_name_is_taken_once_there_is_something_to_go_on_from():
    RunFolder.create("one")
    folder = RunFolder.create("one")
    folder.database.touch()
    with pytest.raises(RunError, match="there is a run 'one' already; aetui resume one continues it"):
        RunFolder.create("one")


def test_runs_are_found_by_name_beginning_and_folder(tmp_path):
    first, second = recorded("calm-owl-10"), recorded("calm-kite-11")
    RunFolder.create("calm-nothing")
    assert RunFolder.all() == [second, first]
    assert RunFolder.find("calm-owl-10") == RunFolder.find("calm-o") == RunFolder.find(str(first.path)) == first
    with pytest.raises(RunError, match="begins several runs: calm-kite-11, calm-owl-10"):
        RunFolder.find("calm")
    with pytest.raises(RunError, match="did you mean 'calm-owl-10'"):
        RunFolder.find("clam-owl-10")
    with pytest.raises(RunError, match="aetui runs lists them"):
        RunFolder.find("quite another")
    with pytest.raises(RunError):
        RunFolder.find(str(tmp_path))


def test_one_process_holds_a_run_until_it_ends():
    folder = recorded("held")
    assert folder.holder() is None
    code = (
        "import sys; from pathlib import Path; from aetui.runs.folder import RunFolder\n"
        f"lock = RunFolder(Path({str(folder.path)!r})).lock(); print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin is not None and other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert folder.holder() == other.pid
    for act in (folder.lock, folder.delete, lambda: folder.rename("other")):
        with pytest.raises(
            RunError, match=f"in training by process {other.pid}; it has no screen to attach; kill {other.pid} has it"
        ):
            act()
    other.kill()
    other.communicate()
    assert folder.holder() is None
    folder.lock().release()
    assert folder.rename("other").exists and not folder.exists
    RunFolder(folder.path.with_name("other")).delete()
    assert RunFolder.all() == []


def test_a_folder_open_to_others_is_refused():
    folder = recorded("open")
    folder.path.chmod(0o750)
    with pytest.raises(RunError, match="chmod 700"):
        folder.lock()
    link = folder.path.with_name("link")
    link.symlink_to(folder.path)
    with pytest.raises(RunError, match="is no folder"):
        RunFolder(link).lock()


def test_where_nothing_can_be_written_a_sentence_says_so(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("no folder")
    monkeypatch.setenv("AETUI_HOME", str(file))
    with pytest.raises(RunError, match=r"runs can't be stored in .*; AETUI_HOME names another folder"):
        RunFolder.create()
    spare = RunFolder.spare("elsewhere")
    assert spare.path.is_dir() and spare.log.exists() and os.access(spare.checkpoints, os.W_OK)


def test_a_home_named_from_the_present_folder_stays_where_it_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AETUI_HOME", "here")
    folder = recorded("one")
    monkeypatch.chdir("/")
    assert folder.path == tmp_path / "here" / "runs" / "one" and folder.exists
