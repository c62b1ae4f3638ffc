"""`aetui status` and `aetui diagnose RUN`: a run while it is alive and after it has ended, told by engine or record."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
import torch

from aetui import protocol as p
from aetui.cli.main import main
from aetui.cli.standing import Standing
from aetui.cli.status import lines
from aetui.report import Finding, Report
from aetui.runs.judged import Judged
from tests.cli.conftest import until


def test_a_run_of_ours_is_told_by_its_engine(ours, told, said):
    engine = ours("mine", train__steps="40")
    said("steer", "mine", "step", "25", "--wait")
    said("steer", "mine", "set", "optim.lr=0.25", "clip.kind=global", "clip.threshold=0.5")
    found = told("status", "mine")
    assert (found["state"], found["step"], found["goal"], found["kind"]) == ("paused", 25, 40, "spec")
    assert found["settings"]["optim.lr"] == "0.25" and found["settings"]["clip.threshold"] == "0.5"
    history = engine.run.history.since(24)
    assert found["loss"] == float(history.loss.numpy()[0]) and found["grad_norm"] == float(history.grad_norm.numpy()[0])
    assert found["explained_variance"] == engine.run.watch.point.explained and found["explained_step"] == 25
    ratio = engine.run.watch.newer_than({}, {"variance": 0})["variance"]
    assert found["variance_ratio"]["median"] == ratio.quantiles[2] and found["variance_step"] == 25
    assert (found["verdict"], found["verdict_step"]) == ("learning", 25)
    printed = said("status")
    text = " ".join(printed.split())
    assert "mine (" in text and "25 of 40 (62 %)" in text and "optim.lr 0.25" in text and "clip.threshold 0.5" in text
    assert len(printed.splitlines()) < 24


def test_a_loop_of_somebodys_own_is_told_while_it_trains_and_from_its_record(theirs, told, said):
    loop = theirs("own", loss="mse", code="2").start()
    found = told("status", "own")
    assert (found["state"], found["kind"], found["goal"]) == ("running", "own loop", None)
    assert 0 < found["step"] <= loop.steps and found["age"] < 5
    assert found["settings"]["optim.lr"] == "0.01" and found["floors"]["mean"] > 0
    assert "own loop" in said("status", "own")
    said("steer", "own", "set", "optim.lr=0.02")
    loop.end()
    ended = told("status", "own")
    assert (ended["state"], ended["engine"], ended["step"]) == ("paused", None, loop.steps)
    assert ended["settings"]["optim.lr"] == "0.02"
    again = "again, which begins a new run"
    assert again in said("runs", "show", "own") and again in said("stop", "own")
    assert again in said("steer", "own", "go", status=2)
    assert again in said("resume", "own", status=2) and again in said("resume", "own", "--headless", status=2)
    assert ended["verdict_step"] == loop.steps and ended["verdict"] is not None
    assert ended["explained_variance"] is not None and ended["variance_ratio"]["features"] == 10
    assert f"of step {loop.steps:,}" in said("status", "own")


def test_what_a_loop_does_not_tell_is_said_where_the_verdict_would_be(theirs, told, said, capsys):
    loop = theirs("silent").start()
    found = told("status", "silent")
    assert found["verdict"] is None and "the loss is not known" in found["headline"]
    assert found["variance_ratio"]["median"] is not None
    assert "loss= says which" in said("diagnose", "silent", status=2)
    loop.end()
    assert "the record of silent has no verdict" in said("diagnose", "silent", status=2)
    assert "verdict             none" in said("status", "silent")


def test_the_verdict_of_a_run_that_collapses_is_told_alive_and_ended(ours, told, capsys):
    engine = ours("bad", optim__lr="3", train__steps="60")
    assert main(["steer", "bad", "step", "40", "--wait"]) == 0
    alive = told("diagnose", "bad", status=1)
    assert alive["from"] == "engine" and alive["verdict"] in ("diverged", "collapsed")
    assert alive["findings"][0]["cause"] == "lr-too-high" and alive["verdict_step"] == alive["step"] == 40
    engine.submit(p.Stop(id=0))
    until(lambda: told("status", "bad")["engine"] is None)
    ended = told("diagnose", "bad", status=1)
    assert ended["from"] == "record" and ended["findings"] == alive["findings"]
    assert told("status", "bad")["findings"][0]["cause"] == "lr-too-high"
    capsys.readouterr()
    assert main(["diagnose", "bad"]) == 1
    assert capsys.readouterr().out.startswith("bad at step 40, from its record")


def test_probes_pause_a_run_that_trains_and_have_it_go_on(theirs, capsys):
    loop = theirs("own", loss="mse", code="2").start()
    before = {name: value.clone() for name, value in loop.model.state_dict().items()}
    # Whether something is wrong by then is for the diagnosis to say.
    assert main(["diagnose", "own", "--probes", "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["probed"]
    past = loop.run._engine._journal._past
    until(lambda: [one.state for one in past if isinstance(one, p.StateChanged)][-2:] == ["paused", "running"])
    steps = loop.steps
    until(lambda: loop.steps > steps)
    assert any(not torch.equal(before[name], value) for name, value in loop.model.state_dict().items())


def test_a_headless_train_ends_with_its_verdict_in_the_record(told):
    words = (
        "--set",
        "data.kind=gaussian",
        "--set",
        "data.rows=60",
        "--set",
        "data.features=8",
        "--set",
        "model.code=3",
    )
    assert main(["train", *words, "--name", "done", "--steps", "30", "--quiet"]) == 0
    found = told("status")
    assert (found["run"], found["state"], found["step"]) == ("done", "finished", 30)
    assert found["verdict_step"] == 30 and found["reason"].startswith("finished 30 steps")


def test_presets_and_specs_win_over_runs_and_options_of_specs_are_refused_with_a_run(said, capsys):
    assert main(["train", "--set", "data.kind=gaussian", "--name", "done", "--steps", "3", "--quiet"]) == 0
    assert "--set: is for a preset or a spec, and done is a run" in said("diagnose", "don", "--set", "a=1", status=2)
    assert (
        said("diagnose", "don3", status=2) == "target: there is no preset and no stored run 'don3'; did you mean done?"
    )
    assert "'digit'; did you mean digits" in said("diagnose", "digit", status=2)
    assert "presets: latent-and-loss, bad-init" in (text := said("diagnose", "qqq", status=2))
    assert "stored runs: done; a path to a .toml file" in text
    assert main(["train", "--set", "data.kind=gaussian", "--name", "digits", "--steps", "3", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["diagnose", "digits", "--steps", "2", "--no-probes"]) in (0, 1)
    assert not capsys.readouterr().out.startswith("digits at step 3")
    assert "there is no run 'gone'" in said("status", "gone", status=2)


def test_a_status_that_is_renewed_ends_with_its_run(ours, capsys):
    engine = ours("mine", train__steps="1000000")
    statuses: list[int] = []
    watching = threading.Thread(
        target=lambda: statuses.append(main(["status", "mine", "--json", "--watch", "--every", "0.5"]))
    )
    watching.start()
    printed = ""

    def shown() -> list[dict[str, Any]]:
        nonlocal printed
        printed += capsys.readouterr().out
        return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]

    until(lambda: len(shown()) > 1)
    assert main(["steer", "mine", "go"]) == 0
    until(lambda: any(one.get("seconds_left") is not None for one in shown()))
    ending = next(one for one in shown() if one.get("seconds_left"))
    assert ending["ends"] > time.time() and ending["device"] == "cpu" and ending["steps_per_second"] > 0
    engine.submit(p.Stop(id=0))
    watching.join(30)
    assert statuses == [0] and not watching.is_alive()
    assert shown()[-1]["engine"] is None and shown()[-1]["seconds_left"] is None


def test_a_status_that_is_renewed_in_a_pipe_comes_one_after_the_other(ours, capsys):
    engine = ours("mine", train__steps="30")
    assert main(["steer", "mine", "step", "29", "--wait"]) == 0
    capsys.readouterr()
    engine.submit(p.Run(id=0))
    until(lambda: engine.state == "finished")
    assert main(["status", "mine", "--watch"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text and text.count("state               finished") == 1 and "time left" not in text


def test_no_run_at_all(said):
    assert said("status", status=2) == "aetui status: no run is stored"


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_text_keeps_to_the_width_and_says_of_which_step_a_figure_is(width: int):
    finding = Finding(cause="lr-too-high", confidence=0.875, title="learning rate too high", text="x", source="y")
    report = Report(verdict="collapsed", headline="outputs vary 0.4 % as much as the data", findings=(finding,))
    one = Standing(
        run="mine", kind="spec", state="running", step=1234, goal=2000, steps_per_second=512.0, loss=0.5,
        explained_variance=0.25, explained_step=1200, judged=Judged(report=report, step=1100),
        seconds_left=1500.0, ends=time.time() + 1500.0, device="cpu", dtype="float32", memory=412_000_000,
        settings={"optim.lr": "0.001", "optim.weight_decay": "0.0", "clip.kind": "none"}, lr=0.0005, age=0.2,
    )  # fmt: skip
    shown = lines(one, width)
    text = " ".join(line.strip() for line in shown)
    assert all(len(line) <= width for line in shown)
    assert "0.250 as of 1,200" in text and "as of 1,100" in text and "optim.lr 0.001 (now 0.0005)" in text
    assert "25 min, ends " in text and "cpu, float32, 412 MB in use" in text
    assert "1. learning rate too high (88 %)" in text and "COLLAPSED" in text and "less than a second old" in text
