"""What the crash test trains: specs of many kinds, and for each a plan of tweaks, undos and rewinds by step."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from aetui.engine.steering import Ladder
from aetui.spec import RunSpec, changed

Tweaks = tuple[tuple[int, tuple[tuple[str, str], ...]], ...]
"""Completed steps, and the settings that changed then."""

OWN = """
import torch
from torch import nn


class Mine(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(features, 24), nn.BatchNorm1d(24), nn.Tanh(), nn.Linear(24, 4))
        self.decoder = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, features))
        self.calls = 0
        self.seen = torch.zeros(3)

    def forward(self, x):
        if self.training:
            self.calls += 1
            self.seen = 0.9 * self.seen + 0.1 * x.detach().mean()
            x = x + (0.1 + 0.01 * (self.calls % 7)) * torch.randn_like(x)
        return self.decoder(self.encoder(x)) + 1e-3 * self.seen.sum()
"""
SMALL = {"data.rows": "0:300", "model.hidden": (32,), "model.code": 4, "train.batch_size": 32}
CASES: dict[str, tuple[int, dict[str, object]]] = {
    "mlp": (27000, SMALL),
    "dropout-noise-batchnorm": (18000, SMALL | {"model.dropout": 0.3, "model.noise": 0.2, "model.batch_norm": True}),
    "vae-plateau": (18000, SMALL | {
        "model.kind": "vae", "model.kl_warmup": 500, "schedule.kind": "plateau", "schedule.window": 50,
        "schedule.patience": 1, "schedule.threshold": 0.2}),
    "conv-amsgrad": (2100, {
        "data.rows": "0:300", "model.kind": "conv", "model.code": 4, "train.batch_size": 32, "optim.amsgrad": True}),
    "five-million": (540, SMALL | {"model.hidden": (4800, 1600)}),
    "own-model": (15000, {"data.rows": "0:300", "train.batch_size": 32, "model.kind": "file"}),
    "float64-momentum-clip": (24000, SMALL | {
        "train.dtype": "float64", "optim.kind": "sgd", "optim.momentum": 0.9, "optim.lr": 0.02,
        "clip.kind": "global", "clip.threshold": 0.05}),
    "nadam-value-clip-one-cycle": (18000, SMALL | {
        "optim.kind": "nadam", "clip.kind": "value", "clip.threshold": 0.001, "schedule.kind": "one-cycle"}),
    "rmsprop-per-tensor-cosine": (18000, SMALL | {
        "optim.kind": "rmsprop", "clip.kind": "per-tensor", "clip.threshold": 0.01, "schedule.kind": "cosine"}),
    "radam-penalties": (15000, SMALL | {
        "optim.kind": "radam", "loss.l1_code": 1e-3, "loss.variance_weight": 0.1, "train.batch_size": 50}),
}  # fmt: skip
"""Steps, and settings."""
TWEAKS: list[dict[str, str]] = [
    {},
    {"train.batch_size": "48"},
    {"train.batch_size": "20"},
    {"optim.kind": "adamw", "optim.weight_decay": "0.02"},
    {"optim.kind": "sgd"},
    {"clip.kind": "global", "clip.threshold": "0.03"},
    {"clip.kind": "none"},
    {"schedule.kind": "exponential", "schedule.decay": "0.9995"},
    {"schedule.kind": "constant"},
    {"loss.kind": "huber"},
]


@dataclass(frozen=True)
class Act:
    """What to do at a step: a tweak, a nudge by a held key, an undo, or a rewind to before the last but `back`."""

    step: int
    kind: str
    changes: tuple[tuple[str, str], ...] = ()
    back: int = 0


@dataclass(frozen=True)
class Plan:
    """A run to the step `goal`, by way of `acts`."""

    settings: dict[str, object]
    goal: int
    acts: tuple[Act, ...]

    def marks(self) -> list[tuple[int, Tweaks]]:
        """After each number of acts: tweaks made so far, and those in force; no two are the same."""
        made, force, found = 0, (), [(0, ())]
        for act in self.acts:
            if act.kind in ("tweak", "nudge"):
                made, force = made + 1, (*force, (act.step, act.changes))
            else:
                force = force[: len(force) - 1 - act.back]
            found.append((made, force))
        return found


def nudged(rate: float, most: int) -> list[float]:
    """Rates that a held key leads to; the same where another engine goes on from one of them."""
    ladder, values = Ladder(), [rate]
    for _ in range(most):
        value = ladder.moved(values[-1], -1)
        if value == values[-1]:
            break
        values.append(value)
    return values[1:]


def _hold(acts: list[Act], rate: float, at: int, goal: int, draw: random.Random) -> list[float]:
    """Rates of a key that is held from step `at` on; none where no hold fits."""
    after_another = bool(acts) and acts[-1].kind == "nudge"
    values = nudged(rate, draw.randint(2, 8))
    return values if at + 3 * len(values) < goal and not after_another else []


def plan(case: str, seed: int, folder: Path, share: float = 1.0) -> Plan:
    """The plan of a case; the same for the same seed. `share` of its steps are trained."""
    steps, settings = CASES[case]
    draw = random.Random(f"{case} {seed}")
    goal = max(40, int(steps * share))
    settings = dict(settings) | {"train.steps": goal, "train.seed": seed, "train.device": "cpu", "train.threads": 1}
    if settings.get("model.kind") == "file":
        file = folder / "mine.py"
        file.write_text(OWN)
        settings["model.path"] = f"{file}:Mine"
    acts: list[Act] = []
    force: list[tuple[int, int, float]] = []
    """Of each tweak in force its step, how many nudges it is made of, and the rate before it."""
    at, rate = 0, float(changed(RunSpec(), settings).optim.lr)
    for _ in range(draw.randint(4, 7)):
        at = min(goal - 1, at + draw.randint(1, goal // 4))
        back = draw.randrange(3)
        # An act of returning follows one that trained on: what is in force tells how far the plan has come.
        if force and acts[-1].kind in ("tweak", "nudge") and draw.random() < 0.5:
            undo = draw.random() < 0.5
            taken = force[len(force) - 1 - (0 if undo else min(back, len(force) - 1)) :]
            acts.append(Act(at, "undo" if undo else "rewind", back=sum(many for _, many, _ in taken) - 1))
            at, _, rate = taken[0]
            del force[-len(taken) :]
        elif draw.random() < 0.5 and (values := _hold(acts, rate, at, goal, draw)):
            force.append((at, len(values), rate))
            for value in values:
                acts.append(Act(at, "nudge", (("optim.lr", repr(value)),)))
                at += draw.randint(1, 3)
            rate = values[-1]
        else:
            # Another rate each time, and none that a run begins with, for a tweak that changes nothing is none.
            changes = TWEAKS[draw.randrange(len(TWEAKS))] | {"optim.lr": f"{0.00053 + 0.0001 * len(acts):.5f}"}
            acts.append(Act(at, "tweak", tuple(changes.items())))
            force.append((at, 1, rate))
            rate = float(changes["optim.lr"])
    return Plan(settings, goal, tuple(acts))
