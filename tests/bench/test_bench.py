"""The parts of the bench: its cases, its loops, its figures."""

import pytest

from aetui.bench import loops, report
from aetui.bench.cases import CASES, case_arguments, case_spec
from aetui.cli.options import spec_of


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


@pytest.mark.parametrize("kind", report.LOOPS)
def test_a_loop_is_measured_in_steps_per_second(kind):
    assert 1 < loops.measure("classic", kind, 0.05) < 1e6


def test_the_store_is_measured_in_turns(monkeypatch):
    monkeypatch.setattr(loops, "_TURNS", 2)
    monkeypatch.setattr(loops, "_LOOK", 0.01)
    monkeypatch.setenv("AETUI_HOME", "")
    without, with_store = loops.store_rates(case_spec("tiny"), 0.1)
    assert 0.1 < with_store / without < 10


@pytest.mark.parametrize("case", ["tiny", "classic"])
def test_the_loops_by_hand_train_on_the_same_data_with_the_same_shapes(case):
    from aetui.training.trainer import Trainer

    trainer = Trainer(case_spec(case))
    network = loops._network(trainer.spec, trainer.dataset.features)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in trainer.model.parameters())


def test_percentiles_lie_where_they_should():
    found = report._percentiles([float(value) for value in range(101)])
    assert found == {"p50": 50.0, "p95": pytest.approx(95.0)}


def test_the_table_shows_every_figure():
    speeds = {
        "plain": 1000.0,
        "lean": 2000.0,
        "engine": 1900.0,
        "diagnosed": 1880.0,
        "process": 1800.0,
        "thread": 1700.0,
    }
    figures = {
        "machine": {},
        "cases": {case: dict(speeds) for case in CASES},
        "ratios": {
            case: {name: speeds[over] / speeds[under] for name, (over, under) in report.RATIOS.items()}
            | {report.STORE: 0.99}
            for case in CASES
        },
        "first_frame_s": 0.5,
        "import_torch_s": 2.0,
        "key_ms": {kind: {"p50": 12.0, "p95": 34.0} for kind in report.PLACEMENTS},
        "terminal_bytes_per_s": 12_345.0,
        "screen_cpu_share": 0.078,
        "screen_rss_mb": 99.4,
    }
    table = report.as_table(figures)
    lines = table.splitlines()
    assert lines[0].split() == ["steps/s", *report.LOOPS, *report.PLACEMENTS]
    assert lines[1].split() == ["tiny", "1,000", "2,000", "1,900", "1,880", "1,800", "1,700"]
    assert "0.50 s, 0.25 of importing torch" in table
    assert table.count("p50 12 ms, p95 34 ms") == 2
    assert "12.3 kB/s" in table and "7.8% of a core, 99 MB" in table
    (ratios,) = [line.split() for line in lines[5:] if line.startswith("classic")]
    assert ratios == ["classic", "0.90", "1.80", "0.85", "0.95", "0.99", "0.99"]
