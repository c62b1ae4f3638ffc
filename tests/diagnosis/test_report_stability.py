"""Same arguments and seed, same report."""

import pytest
import torch
from torch import nn

from aetui.diagnosis import diagnose, preflight

pytestmark = pytest.mark.usefixtures("one_thread_and_seed")


def figures(report):
    return {key: value for key, value in report.to_dict().items() if key != "seconds"}


def noisy():
    return nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 4), nn.Linear(4, 24))


CASES = {
    "healthy": {"lr": 5e-3},
    "low rate": {"lr": 1e-6},
    "diverged": {"optimizer": "sgd", "lr": 1e4},
    "clipped": {"optimizer": "sgd", "lr": 0.1, "clip": 1e-4},
    "scaled": {"scaling": "standardize", "lr": 5e-3},
    "random": {"lr": 1e-4},
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_run_gives_the_same_report(dense, low_rank, name):
    model = noisy() if name == "random" else dense(24, 32, 4)
    first = diagnose(model, low_rank(), steps=250, **CASES[name])
    torch.manual_seed(12345)
    torch.rand(7)
    second = diagnose(model, low_rank(), steps=250, **CASES[name])
    assert figures(first) == figures(second)


def test_without_a_number_of_steps(dense, low_rank):
    model = dense(24, 32, 4)
    first, second = (diagnose(model, low_rank(), lr=5e-3) for _ in range(2))
    assert figures(first) == figures(second)


def test_arrays_and_tensors_give_the_same_report(dense, low_rank):
    model, x = dense(24, 32, 4), low_rank()
    assert figures(diagnose(model, x, steps=250)) == figures(diagnose(model, x.numpy(), steps=250))


def test_progress_changes_nothing(dense, low_rank):
    model = dense(24, 32, 4)
    seen = []
    first = diagnose(model, low_rank(), lr=1e-6, steps=250, progress=seen.append)
    assert seen
    assert figures(first) == figures(diagnose(model, low_rank(), lr=1e-6, steps=250))


def test_the_pre_flight_is_the_same_again(dense, pixels):
    model = dense(64, 32, 8, output=nn.Sigmoid())
    assert preflight(model, pixels, lr=1e-6) == preflight(model, pixels, lr=1e-6) != ()
