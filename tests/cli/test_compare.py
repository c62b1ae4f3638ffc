"""`aetui compare` without a terminal: text and JSON."""

from aetui import protocol as p
from tests.cli.conftest import until


def test_two_runs_side_by_side_as_text(ours, said, told):
    for name, rate in (("otter", "0.01"), ("heron", "0.1")):
        ours(name, optim__lr=rate).submit(p.Run(id=1, steps=20))
    until(lambda: all((run["step"], run["state"]) == (20, "paused") for run in told("compare")["runs"]))
    head, first, second, *rest = said("compare", "otter", "heron").splitlines()
    assert head.split()[:4] == ["name", "state", "steps", "loss"]
    assert first.split()[:3] == ["otter", "paused", "20"] and second.split()[:3] == ["heron", "paused", "20"]
    assert [line.split() for line in rest if line] == [["setting", "otter", "heron"], ["optim.lr", "0.01", "0.1"]]


def test_a_watched_loop_is_compared_too(ours, theirs, told):
    ours("otter")
    loop = theirs("theirs").start()
    loop.end()
    found = told("compare", "otter", "theirs")
    assert [(run["run"], run["kind"]) for run in found["runs"]] == [("otter", "spec"), ("theirs", "own loop")]
    assert found["runs"][1]["step"] == loop.steps and found["runs"][1]["loss"] is not None


def test_figures_are_of_the_step_asked_for(ours, told):
    engine = ours("otter")
    engine.submit(p.Run(id=1, steps=20))
    until(lambda: told("compare", "otter")["runs"][0]["step"] == 20)
    losses = engine.run.history.since(0).loss.numpy()
    at = told("compare", "otter", "--at", "7")
    assert at["at"] == 7 and at["runs"][0]["loss"] == float(losses[6])
    assert told("compare", "otter")["runs"][0]["loss"] == float(losses[19])


def test_without_names_all_are_compared_and_a_filter_leaves_some(ours, told, said):
    ours("otter", optim__lr="0.01")
    ours("heron", optim__lr="0.1")
    assert {run["run"] for run in told("compare")["runs"]} == {"otter", "heron"}
    assert [run["run"] for run in told("compare", "--filter", "lr<0.05")["runs"]] == ["otter"]
    refused = said("compare", "--filter", "lr<0.001", status=2)
    assert refused == "--filter: 'lr<0.001' fits none of the 2 runs"


def test_what_can_not_be_compared_is_refused_in_one_sentence(ours, said):
    assert said("compare", status=2) == "aetui compare: no run is stored"
    ours("otter")
    assert "there is no run 'oter'; did you mean 'otter'?" in said("compare", "oter", status=2)
    assert said("compare", "otter", "--at", "-1", status=2) == "--at: -1 is not allowed; it takes a step, 0 or more"


def test_a_run_named_twice_is_compared_once(ours, told):
    ours("otter")
    assert len(told("compare", "otter", "ott")["runs"]) == 1
