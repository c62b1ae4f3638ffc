"""A fork is a pure function of checkpoint or spec, changes and steps; the untouched one is the run itself."""

from typing import Any

import numpy as np
import pytest
import torch

from aetui.spec import RunSpec, changed
from aetui.training.checkpoint import capture, restore
from aetui.training.trainer import Trainer
from aetui.whatif.forks import At, Ended, Horizon, Job, News, Saved, _reorder, grid, train
from tests.whatif.conftest import tiny

OWN = """
import torch
from torch import nn

class AE(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(features, 3), nn.Linear(3, features)
        self.norm, self.drop = nn.BatchNorm1d(3), nn.Dropout(0.2)

    def forward(self, x):
        return self.decoder(self.drop(self.norm(self.encoder(x + 0.01 * torch.randn_like(x)))))
"""
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "full batch": {"train__batch_size": 0},
    "noise, dropout, batch norm": {"model__noise": 0.1, "model__dropout": 0.2, "model__batch_norm": True},
    "vae": {"model__kind": "vae", "model__kl_weight": 0.01, "model__kl_warmup": 40},
    "momentum and a schedule": {
        "optim__kind": "sgd", "optim__momentum": 0.9, "schedule__kind": "cosine", "train__steps": 90,
    },
    "clipped": {"clip__kind": "global", "clip__threshold": 0.1},
}  # fmt: skip


def job(spec: RunSpec, **more: Any) -> Job:
    given = {"name": "x", "end": 60, "half": 30, "full": 60, "grid": grid(0, 60, 30, 0), **more}
    return Job(spec=spec, **given)


def outcome(job_: Job, saved: Saved | None = None) -> tuple[Ended, list[News]]:
    news = list(train(job_, saved))
    assert isinstance(news[-1], Ended)
    return news[-1], news


@pytest.fixture(params=[*KINDS, "a user's own model"])
def spec(request: pytest.FixtureRequest, tmp_path) -> RunSpec:
    if request.param in KINDS:
        return tiny(**KINDS[request.param])
    (tmp_path / "own.py").write_text(OWN)
    return tiny(model__kind="file", model__path=f"{tmp_path / 'own.py'}:AE")


def test_the_untouched_fork_ends_with_the_weights_of_the_uninterrupted_run_bit_for_bit(spec):
    run = Trainer(spec)
    run.run(60)
    assert outcome(job(spec))[0].weights == run.weights_sha256()


def test_so_does_one_that_leaves_from_a_checkpoint_in_the_middle_of_an_epoch(spec):
    run = Trainer(spec)
    run.run(20)
    saved = Saved.of(capture(run))
    run.run(40)
    whole = job(spec, continues=True, change_at=20, grid=grid(20, 60, 40, 20), half=40)
    assert outcome(whole, saved)[0].weights == run.weights_sha256()


def test_looking_often_changes_nothing(spec):
    assert outcome(job(spec, grid=tuple(range(1, 61))))[0].weights == outcome(job(spec, grid=()))[0].weights


def test_a_live_change_is_the_tweak_that_the_run_would_have_got(spec):
    run = Trainer(spec)
    run.run(20)
    saved = Saved.of(capture(run))
    run.set({"optim.lr": 0.02})
    run.run(40)
    changes = {"optim.lr": "0.02"}
    ended, _ = outcome(job(spec, continues=True, change_at=20, half=40, changes=changes), saved)
    assert ended.weights == run.weights_sha256()
    # The same with the steps before it trained again, as with other seeds.
    assert outcome(job(spec, change_at=20, changes=changes))[0].weights == run.weights_sha256()


def test_the_other_order_starts_from_the_same_weights_and_takes_other_rows():
    spec = tiny(model__noise=0.1)
    run = Trainer(spec)
    run.run(20)
    saved = Saved.of(capture(run))
    seen: dict[int, list[torch.Tensor]] = {}
    for reorder in (0, 1, 2):
        trainer = Trainer(spec)
        restore(trainer, saved.checkpoint())
        before = trainer.weights_sha256()
        rest = trainer.batches.order[trainer.batches.position :].sort().values  # pyright: ignore
        if reorder:
            _reorder(trainer, reorder)
        assert trainer.weights_sha256() == before
        left = trainer.batches.order[trainer.batches.position :].sort().values  # pyright: ignore
        assert torch.equal(left, rest), "the epoch under way still takes each row once"
        seen[reorder] = [trainer.batches.next().clone() for _ in range(12)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(seen[one], seen[other], strict=True))


def test_both_orders_are_deterministic():
    spec = tiny()
    found = {reorder: {outcome(job(spec, reorder=reorder))[0].weights for _ in range(2)} for reorder in (0, 1, 2)}
    assert [len(weights) for weights in found.values()] == [1, 1, 1]
    assert len(set.union(*found.values())) == 3


def test_without_minibatches_and_noise_nothing_is_random():
    spec = tiny(train__batch_size=0)
    assert outcome(job(spec, reorder=1))[0].weights == outcome(job(spec))[0].weights


def test_figures_are_in_the_data_s_own_units_whatever_the_scaling():
    spec = changed(tiny(), {"data.scaling": "standardize", "optim.lr": 0.01})
    _, news = outcome(job(spec))
    full = next(one.figures for one in news if isinstance(one, Horizon) and one.full)
    run = Trainer(spec)
    run.run(60)
    rows = run.dataset.scaler.inverse(run.dataset.train).astype(np.float64)
    made = run.reconstruct(rows.astype(np.float32)).astype(np.float64)
    whole = 1 - ((made - rows) ** 2).sum() / ((rows - rows.mean(0)) ** 2).sum()
    assert full.explained == pytest.approx(whole, abs=1e-4)
    assert full.features == 12 and full.code == 3


def test_a_loss_that_is_not_finite_is_a_divergence_and_has_all_horizons():
    ended, news = outcome(job(tiny(optim__kind="sgd", optim__lr=1e6)))
    assert ended.status == "diverged" and f"step {ended.step}" in ended.why
    assert [(one.full, one.figures.explained) for one in news if isinstance(one, Horizon)] == [
        (False, None),
        (True, None),
    ]


def test_whoever_asks_it_to_leave_gets_no_verdict_from_it():
    asked: list[int] = []

    def leave() -> bool:
        asked.append(1)
        return len(asked) == 3

    news = list(train(job(tiny()), leave=leave))
    ended = news[-1]
    assert isinstance(ended, Ended) and ended.status == "stopped" and not ended.weights
    assert ended.step == [one.point.step for one in news if isinstance(one, At)][-1] < 60


@pytest.mark.parametrize(
    "error", ["MemoryError()", "RuntimeError('[enforce fail] DefaultCPUAllocator: not enough memory')"]
)
def test_too_little_memory_is_said_in_a_sentence(tmp_path, error):
    (tmp_path / "big.py").write_text(
        OWN.replace("return self.decoder", f"if self.training:\n            raise {error}\n        return self.decoder")
    )
    ended, _ = outcome(job(tiny(model__kind="file", model__path=f"{tmp_path / 'big.py'}:AE")))
    assert ended.status == "failed" and "there is not enough memory for it" in ended.why and "\n" not in ended.why


def test_points_after_the_fork_are_the_same_steps_for_restarts():
    live, anew = grid(200, 260, 230, 200), grid(0, 260, 230, 200)
    assert set(live) < set(anew) and {230, 260} <= set(live) and min(live) > 200
    assert all(0 < step <= 200 for step in set(anew) - set(live))
