"""Which optimizer is watched, where a script has several one after the other or at once, and closures of theirs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.watching.conftest import Screen, autoencoder, data

mse = nn.functional.mse_loss


def steps(model: nn.Module, run: Any, *optimizers: torch.optim.Optimizer, count: int) -> None:
    for number in range(count):
        optimizer = optimizers[number % len(optimizers)]
        model.zero_grad()
        loss = mse(model(data()), data())
        loss.backward()
        optimizer.step()
        run.log(loss)


@pytest.mark.parametrize("given", [True, False])
def test_a_training_that_goes_on_with_another_optimizer_stays_watched(watched, given: bool):
    model = autoencoder()
    first = torch.optim.Adam(model.parameters(), lr=1e-3)
    run = watched(model, optimizer=first if given else None, loss="mse")
    steps(model, run, first, count=4)
    screen = Screen(run)
    centers = nn.Parameter(torch.zeros(3))
    second = torch.optim.SGD([*model.parameters(), centers], lr=1e-2)
    steps(model, run, second, count=5)
    # The first step of another optimizer may be one of a few beside the training.
    assert run._training.steps.done == 4 + 4
    assert run._training.optimizers == [second]
    assert screen.notes() == ["the script goes on with another optimizer, SGD, with rates of its own"]
    assert run._training.settings.rate == 1e-2


def test_optimizers_that_take_turns_are_not_taken_for_each_other(watched):
    model = autoencoder()
    first, second = (torch.optim.SGD(model.parameters(), lr=rate) for rate in (1e-3, 1e-2))
    run = watched(model)
    screen = None
    for _ in range(4):
        steps(model, run, first, second, count=2)
        screen = screen or Screen(run)
    assert screen is not None
    assert run._training.optimizers == [first]
    assert run._training.steps.done == 4
    assert [text.partition(" ")[0] for text in screen.notes()] == ["SGD"]
    assert "optimizer=[...] takes several" in screen.notes()[0]


def test_an_optimizer_of_a_part_does_not_take_the_place_of_the_whole(watched):
    model = autoencoder()
    whole, part = torch.optim.SGD(model.parameters(), lr=1e-3), torch.optim.SGD(model[4:].parameters(), lr=1e-3)
    run = watched(model, optimizer=whole)
    steps(model, run, whole, count=2)
    steps(model, run, part, count=6)
    assert run._training.optimizers == [whole]
    assert run._training.steps.done == 2


def test_a_loss_logged_in_a_closure_is_that_of_its_first_call(watched):
    model = autoencoder()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    run = watched(model, optimizer=optimizer)
    first: list[float] = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = mse(model(data()), data())
        loss.backward()
        seen.append(loss.item())
        run.log(loss)
        return loss

    for _ in range(3):
        seen: list[float] = []
        optimizer.step(closure)
        assert len(seen) > 1
        first.append(seen[0])
    run.close()
    assert run._engine.run.history.since(0).loss.numpy().tolist() == pytest.approx(first)
