import math

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.trial import principal, run


@pytest.fixture
def table():
    generator = np.random.default_rng(0)
    signal = generator.standard_normal((300, 3)) @ generator.standard_normal((3, 12))
    return (signal + 0.1 * generator.standard_normal(signal.shape)).astype(np.float32)


def linear(code=3, features=12):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(features, code), nn.Linear(code, features))


def test_a_linear_model_reaches_pca(table):
    kwargs = {"model": linear(), "data": table, "lr": 1e-2, "scaling": "standardize"}
    outcome = run(kwargs, 1500)
    assert outcome.whole == pytest.approx(principal(kwargs, 3), abs=0.02)
    assert outcome.features == pytest.approx(outcome.whole, abs=0.05)
    assert outcome.train_mode == pytest.approx(outcome.whole, abs=0.02)
    assert outcome.noise < 0.6


def test_pca_against_singular_values(table):
    centered = table - table.mean(0)
    spectrum = np.linalg.svd(centered, compute_uv=False) ** 2
    assert principal({"data": table}, 2) == pytest.approx(spectrum[:2].sum() / spectrum.sum(), abs=1e-5)


def test_predicting_the_mean_explains_nothing(table):
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = nn.Parameter(torch.from_numpy(table.mean(0)))

        def forward(self, x):
            return {"reconstruction": self.mean.expand(len(x), -1)}

    assert run({"model": Mean(), "data": table, "lr": 0.0}, 1).whole == pytest.approx(0.0, abs=1e-5)


def test_what_cannot_run_is_an_outcome(table):
    outcome = run({"model": linear(), "data": table, "loss": nn.BCELoss()}, 10)
    assert "0 and 1" in outcome.error
    model = linear()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert run({"model": model, "data": table}, 10).error


def test_bad_values_end_in_nan(table):
    table[3, 4] = np.nan
    assert math.isnan(run({"model": linear(), "data": table}, 50).whole)


def test_sums_over_features_and_penalties_are_part_of_the_loss(table):
    weak = run({"model": linear(), "data": table, "optimizer": "sgd", "lr": 1e-3}, 200)
    strong = run({"model": linear(), "data": table, "optimizer": "sgd", "lr": 1e-3, "loss": "mse_sum"}, 200)
    assert strong.whole > weak.whole + 0.1
    shrinking = {"penalty": lambda model: 10 * (model[0].weight.square().sum() + model[1].weight.square().sum())}
    shrunk = run({"model": linear(), "data": table, "lr": 1e-2, **shrinking}, 500)
    assert shrunk.whole < 0.1


def test_a_tight_clip_holds_the_model_in_place(table):
    free = {"model": linear(), "data": table, "optimizer": "sgd", "lr": 0.1}
    assert run({**free, "clip": 1e-6}, 300).whole < run(free, 300).whole - 0.3


def test_a_callable_loss_gets_the_raw_output_where_it_takes_it(table):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = linear()

        def forward(self, x):
            z = self.net[0](x)
            return self.net[1](z), z

    seen = []

    def on_pair(output, target):
        recon, z = output
        seen.append(z.shape)
        return (recon - target).square().mean()

    run({"model": Pair(), "data": table, "loss": on_pair}, 2)
    assert seen == [(64, 3), (64, 3)]
    assert not run({"model": Pair(), "data": table, "loss": nn.MSELoss()}, 2).error
