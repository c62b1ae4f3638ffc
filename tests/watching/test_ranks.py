"""Trainings of several processes under torchrun, with gloo: steered from one, the same in all."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from aetui import protocol as p
from aetui.engine.inbox import Inbox
from aetui.runs.database import Database
from aetui.runs.folder import RunFolder
from aetui.runs.summary import summary
from aetui.runs.tree import Tree
from aetui.watching import ranks
from tests.torchrun import SEVERAL, job, until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
__all__ = ["job"]


def rates(notes: list[str]) -> list[float]:
    return [float(line.split()[2]) for line in notes]


# --- steered --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "ranks"),
    [
        ((), 2),
        (("--tells", "after", "--schedule", "--accumulate", "2"), 2),
        (("--tells", "first", "--schedule"), 2),
        ((), 4),
    ],
)
def test_all_ranks_take_a_command_between_the_same_two_steps(job, options, ranks):
    running = job(*options, ranks=ranks)
    running.trains()
    with running.talk() as talk:
        clipped = talk.ask(p.Set, changes={"clip.kind": "global", "clip.threshold": "0.01"})
        assert isinstance(clipped, p.Accepted), clipped
        running.trains()
        paused = talk.ask(p.Pause)
        assert paused.step > clipped.step
        # A loop that logs before the step waits within the optimizer's.
        noted = paused.step - ("after" not in options and "first" not in options)
        until(lambda: running.taken() == noted, "the step at which it pauses")
        lowered = talk.ask(p.Set, changes={"optim.lr": "0.001"})
        assert lowered.step == paused.step
        talk.ask(p.Run, steps=3)
        talk.wait_for("paused")
        assert talk.step == paused.step + 3
        talk.ask(p.Run)
        running.trains()
        back = talk.ask(p.Undo)
        assert isinstance(back, p.Moved), back
        assert back.step == paused.step
        far = running.taken()
        talk.ask(p.Run)
        running.trains()
        running.stop(talk)
    assert running.end() == 0, running.printed
    notes = running.check_equal()
    interrupted = [(running.folder / f"rank{rank}.txt").read_text().splitlines()[-1] for rank in range(ranks)]
    assert interrupted == ["interrupted the run several was ended from a screen"] * ranks
    assert {one > 0.002 for one in rates(notes)[:noted]} == {True}
    assert rates(notes)[paused.step] == pytest.approx(0.001, rel=2e-3)
    assert rates(notes)[far] == pytest.approx(rates(notes)[noted - 1], rel=2e-3)
    assert [folder.name for folder in RunFolder.all()] == ["several"]


def test_watched_and_paused_ranks_have_the_weights_of_those_without(job):
    alone = job("--plain", "--steps", "60")
    assert alone.end() == 0
    watched = job("--steps", "60")
    with watched.talk() as talk:
        assert isinstance(talk.ask(p.Pause), p.Accepted)
        time.sleep(0.5)
        assert watched.taken() < 60
        talk.ask(p.Run)
    assert watched.end() == 0
    assert watched.check_equal() == alone.check_equal()
    assert len(watched.steps(0)) == 60


def test_off_means_nothing_at_all(job, monkeypatch):
    monkeypatch.setenv("AETUI_WATCH", "0")
    running = job("--steps", "10")
    assert running.end() == 0
    assert running.taken() == 10
    assert not RunFolder.all()
    assert "aetui" not in running.printed


def test_an_untouched_script_is_served_by_the_module(job):
    running = job("-m", "aetui.watched", "--name", "several", SEVERAL, "--plain", script="--log-dir=logs")
    running.trains()
    with running.talk() as talk:
        lowered = talk.ask(p.Set, changes={"optim.lr": "0.001", "clip.kind": "per-tensor", "clip.threshold": "0.01"})
        assert isinstance(lowered, p.Accepted), lowered
        running.trains()
        paused = talk.ask(p.Pause)
        until(lambda: running.taken() == running.taken(1), "both at the same step")
        stood = running.taken()
        time.sleep(0.3)
        assert running.taken() == stood
        assert talk.join().architecture == "Sequential"
        assert isinstance(talk.ask(p.Undo), p.Moved)
        assert paused.step >= lowered.step
        talk.ask(p.Run)
        running.trains()
        running.stop(talk)
    assert running.end() == 0, running.printed
    notes = running.check_equal()
    assert {0.01, 0.001} == set(rates(notes))
    assert running.printed.count("aetui attach several") == 1
    assert [folder.name for folder in RunFolder.all()] == ["several"]


def test_the_curve_is_the_mean_of_the_losses_of_all_ranks(job):
    running = job("--steps", "80")
    with running.talk() as talk:
        running.trains()
        talk.ask(p.Pause)
        talk.ask(p.Run)
    assert running.end() == 0, running.printed
    told = [
        [float(line) for line in (running.folder / f"losses{rank}.txt").read_text().splitlines()] for rank in (0, 1)
    ]
    with closing(Database(RunFolder.find("several").database, write=False)) as database:
        kept = database.history_of(Tree.of(database).path_to(Tree.of(database).stood(database.meta()))).loss
    assert len(kept) == 80
    means = np.mean(told, 0)
    assert np.abs(np.array(told[0]) - told[1]).max() > 0.01
    # Where a rank does not answer in a moment, those of rank 0 stand alone.
    averaged = np.isclose(kept, means, rtol=1e-5)
    assert np.all(averaged | np.isclose(kept, told[0], rtol=1e-5))
    assert averaged.mean() > 0.5


def test_an_untouched_script_of_lightning_is_one_run_of_all_its_ranks(job):
    pytest.importorskip("lightning")
    script = str(Path(SEVERAL).with_name("several_lightning.py"))
    running = job("-m", "aetui.watched", "--name", "several", script, script="--log-dir=logs")
    running.trains()
    with running.talk() as talk:
        lowered = talk.ask(p.Set, changes={"optim.lr": "0.001", "clip.kind": "value", "clip.threshold": "0.01"})
        assert isinstance(lowered, p.Accepted), lowered
        running.trains()
        assert isinstance(talk.ask(p.Undo), p.Moved)
        talk.ask(p.Run)
        running.trains()
        running.stop(talk)
    running.end()
    assert set(rates(running.check_equal())) == {0.01, 0.001}


# --- where ranks do not go together ---------------------------------------------------------------


def test_a_rank_that_is_not_watched_has_commands_refused_and_nothing_waits(job):
    running = job("--only", "0")
    running.trains()
    with running.talk() as talk:
        for command, values in ((p.Pause, {}), (p.Set, {"changes": {"optim.lr": "0.001"}})):
            answer = talk.ask(command, **values)
            assert isinstance(answer, p.Refused)
            assert "rank 1 is not watched" in answer.text
        running.trains()
        running.stop(talk)
    # Rank 0 has ended alone, and the launcher has ended the other.
    assert running.end() != 0
    assert {*rates(running.steps(0)), *rates(running.steps(1))} == {0.01}


def test_ranks_with_uneven_inputs_are_not_held_up(job):
    running = job("--uneven")
    until(lambda: running.taken(1) == 30 and running.taken(0) > 40, "the steps that rank 0 takes alone")
    with running.talk() as talk:
        answer = talk.ask(p.Pause)
    assert isinstance(answer, p.Refused), answer
    assert "rank 1 does not step as rank 0 does" in answer.text
    assert running.end() == 0, running.printed
    assert running.taken(0) == 1500


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [("--raises", "1@40"), ("--killed", "1@40"), ("--raises", "0@40"), ("--killed", "0@40")]
)
def test_a_rank_that_dies_leaves_no_process_and_an_interrupted_run(job, fault):
    running = job(*fault)
    assert running.end() != 0
    assert summary(RunFolder.find("several")).state == "interrupted"
    if fault[0] == "--raises":
        assert "a fault of the script" in running.printed


@pytest.mark.parametrize("rank", [0, 1])
def test_a_fault_of_the_watching_in_one_rank_leaves_the_weights_of_all_equal(job, rank):
    running = job("--fault", str(rank))
    running.trains()
    with running.talk() as talk:
        clipped = talk.ask(p.Set, changes={"clip.kind": "value", "clip.threshold": "0.001", "optim.hold": "true"})
        assert isinstance(clipped, p.Accepted), clipped
        running.trains()
        (running.folder / "fault").touch()
        running.trains(20)
        if rank == 1:
            answer = talk.ask(p.Pause)
            assert isinstance(answer, p.Refused)
            assert "rank 1 is not watched any more: OSError: a fault of the watching" in answer.text
        running.trains(20)
        first, second = running.steps(0), running.steps(1)
    assert min(len(first), len(second)) > clipped.step + 40
    assert all(one == other for one, other in zip(first, second, strict=False))


def test_a_follower_that_is_killed_in_a_pause_ends_all(job):
    running = job()
    running.trains()
    with running.talk() as talk:
        talk.ask(p.Pause)
        os.kill(running.left()[1], signal.SIGKILL)
        assert running.end() != 0
    assert summary(RunFolder.find("several")).engine is None


def test_ctrl_c_in_a_pause_ends_all(job):
    running = job()
    running.trains()
    with running.talk() as talk:
        talk.ask(p.Pause)
        talk.wait_for("paused")
        os.killpg(running.process.pid, signal.SIGINT)
        running.end()
    assert [folder.name for folder in RunFolder.all()] == ["several"]
    about = summary(RunFolder.find("several"))
    assert (about.state, about.engine) == ("paused", None)
    assert about.step == len(running.check_equal()) + 1


def test_a_run_goes_on_under_its_name_when_the_launcher_restarts_it(job):
    running = job("--killed", "1@40", launcher=("--max-restarts", "1"))

    def again() -> bool:
        assert running.process.poll() is None, running.printed
        return {folder.name for folder in RunFolder.all()} == {"several", "several.1"}

    end = time.monotonic() + 60
    while not again():
        if time.monotonic() > end:
            # Without aetui too: processes that gloo has not brought together again after a kill.
            pytest.skip("PyTorch's own restart hangs on this machine")
        time.sleep(0.1)
    with running.talk() as talk:
        until(lambda: isinstance(talk.ask(p.Pause), p.Accepted), "a pause of the second attempt")
        running.stop(talk)
    assert running.end() == 0, running.printed
    assert {folder.name for folder in RunFolder.all()} == {"several", "several.1"}
    assert summary(RunFolder.find("several.1")).state == "interrupted"


# --- parts ----------------------------------------------------------------------------------------


def test_an_inbox_that_holds_lets_nobody_take_anything():
    inbox = Inbox()
    inbox.put(p.Pause(id=1))
    inbox.hold()
    inbox.put(p.Pause(id=2))
    inbox.put(p.Run(id=3), at_once=True)
    assert [one.id for one in inbox.held] == [1, 2]
    assert inbox.take() == p.Run(id=3)
    assert inbox.take() is None
    assert not inbox
    inbox.release()
    assert [one.id for one in (inbox.take(), inbox.take()) if one] == [1, 2]


def test_a_copy_of_a_batch_norm_over_processes_is_of_this_one_alone():
    from aetui.diagnosis.isolate import clone

    torch.manual_seed(0)
    rows = torch.randn(16, 4)
    model = nn.SyncBatchNorm(4)
    alike = nn.BatchNorm1d(4)
    copy = clone(model).train()
    assert torch.equal(copy(rows), alike(rows))
    assert isinstance(model, nn.SyncBatchNorm) and model.num_batches_tracked == 0


def test_a_forward_that_talks_to_other_processes_is_refused_before_it_does(tmp_path: Path, monkeypatch):
    import torch.distributed as dist

    import aetui

    class Talking(nn.Sequential):
        def forward(self, input):
            found = super().forward(input)
            dist.all_reduce(found)
            return found

    model = Talking(nn.Linear(10, 3), nn.Linear(3, 10))
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    monkeypatch.setattr(ranks, "place", lambda: ranks.Place(0, 2))
    try:
        with pytest.raises(ValueError, match="it talks to the other processes"):
            aetui.watch(model, probe=torch.zeros(4, 10))
    finally:
        dist.destroy_process_group()


def test_a_model_that_no_process_has_whole_is_left_alone(capsys, tmp_path: Path):
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    import aetui

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = nn.Sequential(nn.Linear(10, 3), nn.Linear(3, 10))
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        run = aetui.watch(model, probe=torch.zeros(4, 10))
    finally:
        dist.destroy_process_group()
    assert run.closed
    assert "no process has all of its weights" in capsys.readouterr().err
