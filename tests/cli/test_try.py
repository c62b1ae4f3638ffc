"""`aetui try`: the table, what becomes of the winner, and that the run itself is left alone."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aetui.cli.main import main
from aetui.cli.whatif import edits_in
from aetui.runs.database import Database
from aetui.runs.folder import RunFolder
from aetui.spec import SpecError, changed, dumps, load, loads
from aetui.training.trainer import Trainer
from aetui.whatif.course import Trial
from tests.whatif.conftest import Inline, tiny

STUCK = {"optim__lr": 1e-6, "train__steps": 80}
MENDS = ("--set", "optim.lr=0.02")


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks train in the test's own process."""
    monkeypatch.setitem(Trial.__init__.__kwdefaults__, "pool", Inline)


@pytest.fixture
def stuck(tmp_path: Path) -> str:
    """The file of a spec whose rate is far too low."""
    path = tmp_path / "stuck.toml"
    path.write_text(dumps(tiny(**STUCK)))
    return str(path)


@pytest.fixture
def run(stuck: str, capsys) -> str:
    """A stored run of that spec, at its end."""
    assert main(["train", stuck, "--name", "stuck", "--quiet"]) == 0
    capsys.readouterr()
    return "stuck"


def record(name: str) -> tuple[dict[str, Any], list[str]]:
    """What a run's record says of it, and its journal."""
    with closing(Database(RunFolder.find(name).database, write=False)) as database:
        return database.meta(), [event.text for event in database.events()]


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".db-shm", ".db-wal")
    }


def test_edits_are_parted_at_commas_between_settings_only():
    assert edits_in(["optim.lr=1e-3", "model.hidden=64,32,optim.kind=sgd"]) == [
        {"optim.lr": "1e-3"},
        {"model.hidden": "64,32", "optim.kind": "sgd"},
    ]
    with pytest.raises(SpecError, match="--set: 'fast' is not allowed"):
        edits_in(["fast"])


def test_the_table_goes_to_standard_output_and_its_status_says_whether_a_change_helps(stuck, capsys, inline):
    words = ["try", stuck, "--no-remedies", "--random", "0", "--set", "optim.lr=0.02", "--set", "optim.eps=1.1e-8"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert f"{stuck} from step 0: 4 forks, compared at steps 40 and 80" in " ".join(printed.split())
    assert "edit-1: optim.lr 1e-6 -> 0.02" in printed
    assert [line.split()[0] for line in printed.splitlines() if line.endswith(" 80")] == [
        "untouched", "reordered", "edit-1", "edit-2",
    ]  # fmt: skip
    assert main([*words[:-4], *words[-2:]]) == 1
    assert "No change does better than what noise does" in capsys.readouterr().out


def test_json_has_every_figure_and_the_verdict_s_noise(stuck, told, inline):
    found = told("try", stuck, "--no-remedies", "--random", "1", *MENDS, "--seeds", "2")
    assert found["winner"] == "edit-1" and found["held"] == "edit-1" and len(found["seeds"]) == 2
    forks = {fork["name"]: fork for fork in found["forks"]}
    assert forks["edit-1"]["change"]["values"] == {"optim.lr": "0.02"}
    assert forks["edit-1"]["full"]["explained"] > found["noise"]["high"]
    assert loads(found["spec"]) == tiny(**STUCK)


def test_the_diagnosis_is_made_first_and_its_remedies_are_tried(stuck, told, inline):
    found = told("try", stuck, "--random", "0")
    (remedy,) = [fork for fork in found["forks"] if fork["change"]["origin"] == "remedy"][:1]
    assert remedy["change"]["settings"][0]["path"] == "optim.lr" and remedy["verdict"] in ("helps", "fixes it")


def test_a_stored_run_is_only_read(run, told, inline):
    folder = RunFolder.find(run).path
    before, about = files(folder), record(run)
    found = told("try", run, "--random", "0", *MENDS, "--steps", "60")
    assert found["stored"] and found["step"] == 80 and found["full"] == 140
    assert {fork["name"]: fork["start"] for fork in found["forks"]}["edit-1"] == 80
    assert record(run) == about and files(folder) == before


def test_a_live_winner_is_adopted_as_a_tweak_that_undo_takes_back(run, capsys, inline):
    trained: list[Any] = []

    class Seen(Inline):
        def __exit__(self, *_: object) -> None:
            trained.extend(self.trained)

    Trial.__init__.__kwdefaults__["pool"] = Seen
    assert main(["try", run, "--random", "0", "--no-remedies", *MENDS, "--steps", "60", "--adopt"]) == 0
    printed = capsys.readouterr().out
    reference = Trainer(tiny(**STUCK))
    reference.run(80)
    reference.set({"optim.lr": 0.02})
    reference.run(60)
    assert f"sha256 {reference.weights_sha256()[:16]}" in printed, "the run went on as the fork had"
    meta, journal = record(run)
    assert "optim.lr 1e-6 -> 0.02" in journal
    assert any(text.startswith("what-if at step 80: edit-1") for text in journal)
    assert [text.split()[1] for text in journal if text.startswith("fork ")] == ["untouched", "reordered", "edit-1"]
    assert all("explained variance" in text for text in journal if text.startswith("fork "))
    assert meta["wanted"] == 140
    from aetui.runs.recording import Recording
    from aetui.runs.replay import never

    recording, _ = Recording.open(RunFolder.find(run))
    recording.resume(never)
    assert recording.position.step == 140
    recording.undo(never)
    assert recording.position.step == 80
    untouched = Trainer(tiny(**STUCK))
    untouched.run(80)
    from aetui.training.spec_training import trainer_of

    assert trainer_of(recording.training).weights_sha256() == untouched.weights_sha256()
    recording.close("")


def test_a_structural_winner_is_a_new_run_with_its_spec(run, capsys, inline):
    words = ["--random", "0", "--no-remedies", "--set", "data.scaling=standardize,optim.lr=0.02", "--steps", "60"]
    assert main(["try", run, *words, "--adopt", "--name", "mended"]) == 0
    spec = changed(tiny(**STUCK), {"data.scaling": "standardize", "optim.lr": 0.02})
    reference = Trainer(spec)
    reference.run(140)
    assert f"sha256 {reference.weights_sha256()[:16]}" in capsys.readouterr().out
    meta, journal = record("mended")
    assert loads(meta["spec"]) == spec
    assert any("adopted" in text and "stuck" in text for text in journal)
    assert record(run)[0]["wanted"] is None, "the old run is as it was"


def test_the_winner_s_spec_is_written(stuck, tmp_path, capsys, inline):
    out = tmp_path / "mended.toml"
    assert main(["try", stuck, "--random", "0", "--no-remedies", *MENDS, "--write", str(out)]) == 0
    assert load(out) == changed(tiny(**STUCK), {"optim.lr": 0.02})
    assert main(["try", stuck, "--random", "0", "--no-remedies", *MENDS, "--write", "/dev/full"]) == 2
    assert "aetui: --write: /dev/full: No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--fork", "edit-1"], "--fork: it goes with --adopt or --write"),
        (["--name", "new"], "--name: it goes with --adopt"),
        (["--set", "optim.lr=1e-6"], "--set: optim.lr=1e-6 changes nothing: it is in force already"),
        (["--set", "optim.speed=1"], "optim.speed: unknown setting"),
        ([*MENDS, "--adopt", "--fork", "edit-9"], "--fork: there is no fork 'edit-9'; it takes one of edit-1"),
        ([*MENDS, "--adopt", "--fork", "untouched"], "--fork: untouched changes nothing, so there is nothing to adopt"),
        (["--set", "optim.eps=1.1e-8", "--adopt"], "--adopt: no fork won: No change does better"),
        (["--base", "fast"], "--base: 'fast' is not allowed"),
    ],
)
def test_what_cannot_be_is_one_sentence(stuck, capsys, inline, words, sentence):
    assert main(["try", stuck, "--no-remedies", "--random", "0", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_an_unknown_target_is_refused_under_the_command_s_name(capsys):
    assert main(["try", "no-such-thing"]) == 2
    assert "there is no preset and no stored run 'no-such-thing'" in capsys.readouterr().err


def test_a_run_in_training_is_tried_from_its_record_and_not_adopted(ours, told, capsys, inline):
    ours("alive", optim__lr="1e-6", train__steps="100")
    found = told("try", "alive", "--random", "0", "--no-remedies", *MENDS, "--steps", "20", status=0)
    assert found["stored"]
    assert main(["try", "alive", "--no-remedies", *MENDS, "--adopt"]) == 2
    assert "--adopt: the run alive is in training; aetui stop alive ends it first" in capsys.readouterr().err


def test_a_watched_loop_cannot_be_forked_and_the_probes_are_offered(theirs, capsys):
    loop = theirs("loop").start()
    assert main(["try", "loop", *MENDS]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    own = "the run loop was trained by a script of its own"
    why = f"{own}, whose steps only that script can take, so it can't be forked"
    way = "aetui diagnose loop --probes checks the suspects on copies of its model"
    assert said == f"aetui: aetui try: {why}; {way}"
    loop.end()
    capsys.readouterr()
    assert main(["try", "loop", *MENDS]) == 2
    assert f"{why}; while it trains, {way}" in capsys.readouterr().err


def test_verify_marks_each_remedy(stuck, told, capsys, inline):
    report = told("diagnose", stuck, "--verify", status=1)
    tried = [remedy for finding in report["findings"] for remedy in finding["remedies"] if remedy["set"]]
    assert tried and all(isinstance(remedy["verified"], bool) for remedy in tried)
    forks = {fork["name"]: fork for fork in report["experiment"]["forks"]}
    by_rate = next(remedy for remedy in tried if "optim.lr" in remedy["set"])
    fork = forks[by_rate["id"]]
    assert by_rate["verified"] == (fork["verdict"] == "fixes it")
    assert by_rate["explained"] == fork["full"]["explained"] and by_rate["tried"] == fork["verdict"]
    assert main(["diagnose", stuck, "--verify"]) == 1
    assert "tried on a fork: " in capsys.readouterr().out
    assert main(["diagnose", stuck, "--verify", "--loss", "x.py:f"]) == 2


def test_verify_of_a_stored_run_starts_where_it_stands(run, told, inline):
    told("diagnose", run, status=1) if record(run)[0].get("report") else pytest.skip("the record has no verdict")
    report = told("diagnose", run, "--verify", status=1)
    assert report["experiment"]["step"] == 80


def test_ctrl_c_prints_what_is_known_and_leaves_no_process(stuck, private_home):
    command = [sys.executable, "-m", "aetui", "try", stuck, "--no-remedies", *MENDS, "--steps", "10000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        children: list[int] = []
        end = time.monotonic() + 60
        while len(children) < 1 and time.monotonic() < end:
            time.sleep(0.1)
            children = _children(process.pid)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "cancelled" in out and "Traceback" not in err
    assert all(not _alive(child) for child in children)


def _children(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
