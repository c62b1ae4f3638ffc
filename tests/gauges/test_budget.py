import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetui.gauges.budget import Budget


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(budget, clock, name, seconds):
    with budget.timed(name):
        clock.now += seconds


def test_a_gauge_waits_its_cost_over_the_share():
    clock = Clock()
    budget = Budget(0.02, clock)
    assert budget.due("code")
    run(budget, clock, "code", 0.01)
    assert not budget.due("code")
    assert not budget.due("code", clock.now + 0.49)
    assert budget.due("code", clock.now + 0.51)


def test_the_last_run_counts():
    clock = Clock()
    budget = Budget(0.1, clock)
    run(budget, clock, "code", 10.0)
    clock.now += 100.0
    assert budget.due("code")
    run(budget, clock, "code", 0.1)
    clock.now += 1.01
    assert budget.due("code")


def test_a_failing_run_counts_too():
    clock = Clock()
    budget = Budget(0.1, clock)

    def fail():
        clock.now += 1.0
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), budget.timed("code"):
        fail()
    assert not budget.due("code", clock.now + 9.9)
    assert budget.due("code", clock.now + 10.1)


def test_a_gauge_nobody_asks_for_gives_its_part_back():
    clock = Clock()
    budget = Budget(0.1, clock)
    for name in ("code", "layers"):
        budget.due(name)
        run(budget, clock, name, 1.0)
    assert not budget.due("layers", clock.now + 4.0)
    assert budget.due("layers", clock.now + 12.0)


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_share_is_checked(share):
    with pytest.raises(ValueError, match="above 0"):
        Budget(share)


@given(
    costs=st.lists(st.floats(1e-4, 0.5), min_size=1, max_size=6),
    share=st.floats(0.01, 0.2),
    frame=st.floats(0.01, 0.3),
)
@settings(max_examples=50, deadline=None)
def test_all_gauges_together_stay_within_the_share_and_none_starves(costs, share, frame):
    clock = Clock()
    budget = Budget(share, clock)
    names = {f"gauge {index}": cost for index, cost in enumerate(costs)}
    runs = dict.fromkeys(names, 0)
    for name, cost in names.items():
        assert budget.due(name)
        run(budget, clock, name, cost)
    start, spent = clock.now, 0.0
    longest = max(costs) * len(costs) / share
    while clock.now < start + 4 * longest + 10 * frame:
        for name, cost in names.items():
            if budget.due(name):
                run(budget, clock, name, cost)
                runs[name] += 1
                spent += cost
        clock.now += frame if longest / frame < 2000 else longest / 2000
    assert spent <= share * (clock.now - start) * (1 + 1e-9) + sum(costs)
    assert min(runs.values()) >= 1
