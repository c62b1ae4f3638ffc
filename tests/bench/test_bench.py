"""The parts of the bench: its cases, its loops, its figures, and what it says meanwhile."""

import json
import os
import re
import subprocess
import sys

import msgspec
import pytest

from aetui.bench import forks, loops, measuring
from aetui.bench.cases import CASES, case_arguments, case_spec
from aetui.bench.spread import Figure, percentiles, ratios
from aetui.cli.options import spec_of
from aetui.openmp import BOUND, bound_spin, unbound


def arguments_spec(arguments: list[str]):
    """The spec of `aetui run` with these arguments."""
    target, *rest = arguments
    assert rest[::2] == ["--set"] * (len(rest) // 2)
    return spec_of(target, None, rest[1::2])


@pytest.mark.parametrize("case", CASES)
def test_the_loops_and_the_screen_train_the_same_spec(case):
    spec = case_spec(case)
    assert arguments_spec(case_arguments(case)) == spec
    assert spec.train.steps == spec.train.epochs == 0


@pytest.mark.parametrize("kinds", [measuring.BY_HAND, measuring.ENGINES])
def test_loops_take_turns_and_are_measured_in_steps_per_second(kinds, monkeypatch):
    monkeypatch.setattr(loops, "_LOOK", 0.01)
    monkeypatch.setenv("AETUI_HOME", "")
    found = loops.in_turns("tiny", kinds, turns=2, seconds=0.05)
    assert list(found) == list(kinds)
    assert all(
        len(rates) == (1 if kind == "shown" else 2) and all(1 < rate < 1e6 for rate in rates)
        for kind, rates in found.items()
    )


@pytest.mark.parametrize("case", ["tiny", "classic"])
def test_the_loops_by_hand_train_on_the_same_data_with_the_same_shapes(case):
    from aetui.training.trainer import Trainer

    trainer = Trainer(case_spec(case))
    network = loops._network(trainer.spec, trainer.dataset.features)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in trainer.model.parameters())


def test_a_loop_by_hand_waits_as_pytorch_does_and_an_engine_within_the_bound(monkeypatch):
    """The bench itself runs under the bound, which the loops that people write do not have."""
    seen = {}

    def run(command, **options):
        seen[command[4]] = options["env"]
        return subprocess.CompletedProcess(command, 0, stdout="{}")

    monkeypatch.setattr(measuring.subprocess, "run", run)
    bound_spin()
    try:
        for kinds in (("plain",), ("engine",)):
            measuring.loops("tiny", kinds, 0.1)
    finally:
        unbound(os.environ)
    assert not BOUND.keys() & seen["plain"].keys()
    assert seen["engine"].items() >= BOUND.items()


def test_a_busy_machine_has_a_process_for_every_core():
    with measuring._busy_machine():
        children = subprocess.run(["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
        assert children.stdout.count("while True: pass") == (os.cpu_count() or 1)


def test_percentiles_lie_where_they_should():
    found = percentiles([float(value) for value in range(101)])
    assert found == {"p50": 50.0, "p95": pytest.approx(95.0)}


def test_a_figure_shows_its_spread():
    assert Figure.of([1300.0, 1234.0, 1400.0]).text() == "1,300 (1,234-1,400)"
    assert Figure.of([0.123]).text(2) == "0.12"
    assert ratios([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == Figure(2.0, 1.0, 3.0)


@pytest.mark.parametrize(("over", "under", "wanted"), [("engine", "stored", [2.0, 4.0]), ("engine", "lean", [1.5])])
def test_loops_of_one_process_are_compared_turn_by_turn_and_others_round_by_round(over, under, wanted):
    case = measuring._Case()
    case.add({"engine": [2.0, 4.0], "stored": [1.0, 1.0]})
    case.add({"lean": [2.0]})
    assert case.ratio(over, under) == Figure.of(wanted)


def figures() -> dict:
    """A report of a bench of one round."""
    speeds = {kind: Figure.of([1000.0 + index]) for index, kind in enumerate(measuring.KINDS)}
    case = measuring._Case()
    for index, kind in enumerate(measuring.KINDS):
        case.add({kind: [1000.0 + 100 * index]})
    case.busy = {"plain": [100.0], "engine": [300.0]}
    return msgspec.to_builtins(
        {
            "machine": {},
            "cases": dict.fromkeys(CASES, speeds),
            "busy": {name: {kind: Figure.of(rates) for kind, rates in case.busy.items()} for name in CASES},
            "ratios": dict.fromkeys(CASES, measuring._ratios(case)),
            "first_frame_s": 0.5,
            "import_torch_s": 2.0,
            "key_ms": {kind: {"p50": 12.0, "p95": 34.0} for kind in measuring.PLACEMENTS},
            "terminal_bytes_per_s": 12_345.0,
            "screen_cpu_share": 0.078,
            "screen_rss_mb": 99.4,
            "forks": {
                "forks": 8, "steps": 1000, "processes": 2, "cores": 2, "together_s": 6.0, "one_after_another_s": 10.0,
                "one_s": 1.25, "over_one_after_another": 0.6, "over_one": 4.8,
            },
        }
    )  # fmt: skip


def test_the_table_shows_every_figure():
    found = figures()
    table = measuring.as_table(json.loads(json.dumps(found)))
    lines = table.splitlines()
    assert lines[0].split() == ["steps/s", *CASES]
    for kind in measuring.KINDS:
        assert any(re.match(rf"{kind}( +1,00\d){{3}}$", line) for line in lines)
    assert any(re.match(r"engine, busy( +300){3}$", line) for line in lines)
    assert any(re.match(r"engine / plain, busy( +3\.00){3}$", line) for line in lines)
    assert "0.50 s, 0.25 of importing torch" in table
    assert table.count("p50 12 ms, p95 34 ms") == 2
    assert "8 forks of 1,000 steps in 2 processes: 6.0 s, 0.60 of 10.0 s one after another, 4.80 times one run" in table
    assert "12.3 kB/s" in table and "7.8% of a core, 99 MB" in table


def test_what_it_does_is_said_line_by_line_without_a_terminal(capsys):
    progress = measuring._Progress(150)
    progress.say("round 1 of 2: tiny")
    progress.say("")
    said = capsys.readouterr()
    assert not said.out and "\r" not in said.err
    first, second = said.err.splitlines()
    assert "about 2 min" in first and second.endswith("of about 150 s] round 1 of 2: tiny")


def test_the_default_takes_less_than_six_minutes():
    """By what its parts take on two cores."""
    from inspect import signature

    from aetui.cli.tools import bench

    defaults = {name: parameter.default for name, parameter in signature(bench).parameters.items()}
    assert defaults["rounds"] * measuring._round_seconds(defaults["seconds"]) + measuring._FORKS < 360


@pytest.mark.parametrize("name", [*BOUND, "OMP_WAIT_POLICY"])
def test_what_the_user_said_about_waiting_stays(name):
    environment = {name: "123"}
    bound_spin(environment)
    assert environment == {name: "123"}
    unbound(environment)
    assert environment == {name: "123"}


@pytest.mark.parametrize("command", [["train", "digits", "--steps", "1"], ["diagnose", "digits", "--steps", "5"]])
def test_commands_bound_the_spin_before_torch_is_loaded(command, private_home, tmp_path):
    """libgomp tells what it took from the environment when it is loaded."""
    environment = {key: value for key, value in os.environ.items() if key not in (*BOUND, "OMP_WAIT_POLICY")}
    environment["OMP_DISPLAY_ENV"] = "VERBOSE"
    done = subprocess.run(
        [sys.executable, "-m", "aetui", *command], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this build of PyTorch has another OpenMP library")
    assert f"GOMP_SPINCOUNT = '{BOUND['GOMP_SPINCOUNT']}'" in done.stderr


def test_forks_are_measured_beside_as_many_runs():
    found = forks.measure(0.05)
    assert found["forks"] == 8 and found["steps"] > 1
    assert found["over_one_after_another"] == pytest.approx(found["together_s"] / found["one_after_another_s"])
