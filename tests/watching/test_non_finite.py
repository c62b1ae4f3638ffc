"""Losses that are no numbers, in a loop that nobody here may stop, and losses that nobody told."""

from __future__ import annotations

import math

import pytest
import torch

from aetui import protocol as p
from aetui.engine import present
from tests.watching.conftest import Screen, autoencoder, data


def loop(watched, **options):
    """A step that is taken with the loss that is given, None for none; and the run."""
    model = autoencoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    run = watched(model, optimizer=optimizer, **options)

    def step(loss: float | None) -> None:
        optimizer.zero_grad()
        model(data()).square().mean().backward()
        optimizer.step()
        if loss is not None:
            run.log(loss)

    return run, step


def heard(screen: Screen) -> list[str]:
    events = [event for one in screen.events for event in (one.events if isinstance(one, p.Past) else (one,))]
    return [event.text for event in events if isinstance(event, p.Noted) and "finite" in event.text]


def notice(run) -> None:
    """What the engine does with the steps that were recorded, as once a second."""
    run._engine._now.note_non_finite(run._engine.run, run._engine.run.collect())


def test_the_first_loss_that_is_no_number_is_told_with_the_last_that_was_and_when_it_is_one_again(watched):
    run, step = loop(watched)
    screen = Screen(run)
    for loss in (3.0, 2.0, math.nan, math.inf, 1.0, 0.5):
        step(loss)
    notice(run)
    (first,) = heard(screen)
    assert first.startswith("not finite: step 3: loss NaN") and "last finite at step 2: loss 2" in first
    notice(run)
    step(0.25)
    notice(run)
    assert heard(screen)[1:] == ["loss and gradient are finite again from step 5 on"]
    step(math.inf)
    notice(run)
    step(math.inf)
    notice(run)
    assert len(heard(screen)) == 3
    assert "step 8: loss infinite" in heard(screen)[2]


def test_a_loss_that_comes_and_goes_does_not_fill_the_journal(watched, monkeypatch):
    monkeypatch.setattr(present, "_WILD_NOTES", 3)
    run, step = loop(watched)
    screen = Screen(run)
    for number in range(20):
        step(math.nan if number % 2 else 1.0)
        notice(run)
    assert len(heard(screen)) == 3 and heard(screen)[-1].endswith("is not said any more")


@pytest.mark.parametrize("every", [0, 5])
def test_a_loss_that_nobody_told_is_none_that_is_not_finite(watched, every: int):
    run, step = loop(watched, loss="mse", code="4")
    screen = Screen(run)
    for number in range(1, 13):
        step(1.0 if every and number % every == 0 else None)
    run._hooks.end_step()
    notice(run)
    assert heard(screen) == []
    view = run._engine.view(p.Look(run=1))
    assert view.status.loss is None or math.isfinite(view.status.loss)
    assert run._engine.run.history.last_bad is None
    losses, norms = run._engine.run.history.sampled()
    assert len(losses) == len(norms) == (2 if every else 12)
    report = run.report()
    assert report is not None and "finite" not in report.headline
