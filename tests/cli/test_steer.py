"""`aetui steer`: what it has runs of every kind do, what it says, and how it refuses."""

from __future__ import annotations

import re
import threading

import pytest

from aetui import protocol as p
from aetui.cli.main import main
from aetui.cli.steer import Order, order_of
from aetui.cli.talk import reach
from aetui.runs.folder import RunFolder
from aetui.spec import SpecError
from tests.cli.conftest import until


def step_in(text: str) -> int:
    return int(re.findall(r"step ([\d,]+)", text)[0].replace(",", ""))


def test_a_run_of_ours_does_as_it_is_told_and_says_from_which_step_on(ours, said):
    engine = ours("mine")
    assert said("steer", "mine", "pause") == "paused already, at step 0"
    assert said("steer", "mine", "step", "7", "--wait") == "paused at step 7"
    assert said("steer", "mine", "set", "optim.lr=1e-4", "clip.kind=global") == (
        "optim.lr 0.001 -> 0.0001, clip.kind none -> global from step 8"
    )
    assert said("steer", "mi", "step", "--wait") == "paused at step 8"
    assert said("steer", "mine", "undo").endswith("the run stands at step 7")
    assert said("steer", "go") == "goes on from step 8"
    until(lambda: engine.run.training.steps.done > 8)
    assert step_in(said("steer", "mine", "go")) > 7
    paused = step_in(said("steer", "mine", "pause"))
    assert engine.run.training.steps.done == paused and engine.state == "paused"


def test_a_loop_of_somebodys_own_is_steered_alike(theirs, said, told):
    loop = theirs("own").start()
    paused = step_in(said("steer", "own", "pause"))
    assert loop.steps == paused
    assert said("steer", "own", "set", "optim.lr=0.5") == f"optim.lr 0.01 -> 0.5 from step {paused + 1:,}"
    assert loop.optimizer.param_groups[0]["lr"] == 0.5
    assert said("steer", "own", "step", "3", "--wait") == f"paused at step {paused + 3:,}"
    found = told("steer", "own", "undo")
    assert (found["effect"], found["step"], found["state"]) == ("done", paused, "paused")
    assert loop.optimizer.param_groups[0]["lr"] == 0.01
    assert told("steer", "own", "go") == {
        "run": "own", "action": "go", "effect": "done", "step": paused, "state": "running",
        "text": f"goes on from step {paused + 1:,}", "changes": [],
    }  # fmt: skip


def test_a_link_that_only_watches_is_refused_by_the_engine_and_its_end_is_nobody_elses(ours):
    engine = ours("mine", start=True)
    link = reach(RunFolder.find("mine"), "aetui attach", read_only=True)
    heard: list[p.Reply] = []
    link.connect(heard.append, lambda text: None)
    link.send(p.Stop(id=7))
    until(lambda: any(isinstance(reply, p.Refused) for reply in heard))
    assert [(one.command, one.text) for one in heard if isinstance(one, p.Refused)] == [(7, p.READ_ONLY)]
    link.close()
    steps = engine.run.training.steps.done
    until(lambda: engine.run.training.steps.done > steps)
    assert engine.state == "running"


def test_what_has_no_effect_is_said_with_status_0_and_what_is_refused_with_1(ours, said, told, capsys):
    ours("mine")
    assert said("steer", "mine", "set", "optim.lr=0.001") == (
        "nothing to change: the settings are in force already, at step 0"
    )
    assert "it takes a number" in said("steer", "mine", "set", "optim.lr=fast", status=1)
    assert "nope" in said("steer", "mine", "set", "nope=1", status=1)
    assert said("steer", "mine", "undo", status=1) == "mine: there is no tweak to take back"
    found = told("steer", "mine", "set", "optim.lr=0.01")
    assert found["changes"] == [{"path": "optim.lr", "old": "0.001", "new": "0.01"}] and found["step"] == 0
    assert told("steer", "mine", "set", "optim.lr=0.01")["effect"] == "none"
    refused = told("steer", "mine", "set", "optim.lr=-1", status=1)
    assert (refused["effect"], refused["step"]) == ("refused", 0) and "optim.lr" in refused["text"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "it takes RUN and one of pause, go, step N"),
        (("mine",), "it takes RUN and one of pause, go, step N"),
        (("mine", "hop"), "'hop' is not allowed"),
        (("mine", "step", "0"), "'0' is not allowed; it takes a whole number of at least 1"),
        (("mine", "step", "many"), "'many' is not allowed"),
        (("mine", "set"), "it takes section.key=value"),
        (("mine", "set", "optim.lr"), "'optim.lr' is not allowed"),
        (("mine", "pause", "now"), "'now' is not allowed"),
        (("mine", "go", "--wait"), "--wait: is for step N"),
        (("mine", "go", "--timeout", "0"), "--timeout: 0 is not allowed"),
        (("another", "go"), "there is no run 'another'"),
    ],
)
def test_what_is_no_order_is_refused_with_one_sentence_and_status_2(words, sentence, said):
    assert sentence in said("steer", *words, status=2)


def test_a_run_that_nothing_trains_says_how_it_goes_on(said):
    assert main(["train", "--set", "data.kind=gaussian", "--name", "done", "--steps", "2", "--quiet"]) == 0
    assert "no engine runs" in said("steer", "done", "pause", status=2)
    assert "no engine is running" in said("steer", "pause", status=2)


def test_a_name_may_be_that_of_an_action():
    assert order_of(["pause"]) == (None, Order("pause"))
    assert order_of(["step", "5"]) == (None, Order("step", steps=5))
    assert order_of(["pause", "go"]) == ("pause", Order("go"))
    assert order_of(["go", "set", "a.b=1", "c.d= 2"]) == ("go", Order("set", changes={"a.b": "1", "c.d": " 2"}))
    with pytest.raises(SpecError, match="takes nothing more"):
        order_of(["undo", "twice"])


def test_an_engine_that_is_in_a_step_says_where_once_the_answer_is_overdue(theirs, said, told):
    loop = theirs("slow")
    hold, go_on = threading.Event(), threading.Event()

    def parts(_loss):
        if hold.is_set():
            go_on.wait(30)
        return {}

    loop.parts = parts
    loop.start()
    hold.set()
    try:
        text = said("steer", "slow", "pause", "--timeout", "0.1", status=1)
        assert "slow: no answer within 0.1 s" in text and text.endswith("what was asked for is done when that ends")
    finally:
        hold.clear()
        go_on.set()
    # It was sent, and is obeyed later.
    until(lambda: loop.run._engine.state == "paused")
    assert told("steer", "slow", "pause")["effect"] == "none"


def test_another_process_that_holds_a_run_without_a_socket_is_named(said):
    folder = RunFolder.create("locked")
    main(["train", "--set", "data.kind=gaussian", "--name", "locked", "--steps", "2", "--quiet"])
    lock = folder.lock()
    try:
        assert "it has no screen to attach; kill" in said("steer", "locked", "pause", status=2)
    finally:
        lock.release()
