"""Scripts under the trainers that people use, untouched, under the runner; with the real packages."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aetui import protocol as p
from tests.watching.conftest import Screen
from tests.watching.running import Ended, run_script

__all__ = ["run_script"]

SCRIPTS = Path(__file__).parent / "scripts"
CASES = {
    "lightning_plateau.py": ("lightning", (), "LitAE", "Adam", r"mse times 16", "what litae returns", 42),
    "lightning_manual.py": ("pytorch_lightning", (), "Seen", "Adam", "mse", "what vaegan returns", 60),
    "lightning_experiment.py": (
        "pytorch_lightning", (), "Seen", "Adam", "mse", "first item of what experiment returns", 40,
    ),
    "transformers_trainer.py": (
        "transformers", (), "Seen", "AdamW", "mse", "'reconstruction' of what aemodel returns", 80,
    ),
    "accelerate_loop.py": (
        "accelerate", ("--mixed_precision", "bf16"), "AutoEncoder", "AdamW", "mse",
        "first item of what autoencoder returns", 80,
    ),
    "pythae_vae.py": ("pythae", (), "Seen", "Adam", "mse times 8", "'recon_x' of what model returns", 64),
}  # fmt: skip
"""Package and arguments; model, optimizer, loss, reconstruction and steps."""


class Steering:
    """Somebody at a screen, who pauses a run as soon as it begins, sets a number and lets it go on."""

    def __init__(self, changes: dict[str, Callable[[Any], str]]) -> None:
        """changes: what is set, each from the present settings."""
        self._changes = changes
        self.answers: list[Any] = []
        self.error: Exception | None = None
        self._thread: threading.Thread | None = None

    def __call__(self, run: Any) -> None:
        screen = Screen(run)
        paused = screen.ask(p.Pause)
        self._thread = threading.Thread(target=self._steer, args=(run, screen, paused))
        self._thread.start()

    def _steer(self, run: Any, screen: Screen, paused: int) -> None:
        try:
            self.answers.append(screen.answer(paused))
            changes = {path: value(run._training.settings) for path, value in self._changes.items()}
            if changes:
                self.answers.append(screen.answer(screen.ask(p.Set, changes=changes)))
        except Exception as error:  # noqa: BLE001 - the test is told
            self.error = error
        finally:
            screen.ask(p.Run)

    def done(self) -> list[Any]:
        assert self._thread is not None
        self._thread.join()
        assert self.error is None
        return self.answers


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Any, ...]:
    package, arguments, *found = CASES[request.param]
    pytest.importorskip(package)
    return str(SCRIPTS / request.param), arguments, *found


def printed(ended: Ended, name: str) -> list[float]:
    line = next(line for line in ended.printed.splitlines() if line.startswith(f"{name} "))
    return [float(word) for word in line.split()[1:]]


def test_an_untouched_script_is_understood_paused_and_trains_as_without(run_script, case):
    script, arguments, model, optimizer, loss, made, steps = case
    alone = run_script(script, *arguments, watched=False)
    assert "weights 0x" in alone.printed
    steering = Steering({})
    ended = run_script(script, *arguments, began=steering)
    assert ended.run is not None, ended.said
    assert isinstance(steering.done()[0], p.Accepted)
    assert ended.printed == alone.printed
    training = ended.run._training
    assert type(training.module).__name__ == model
    assert [type(one).__name__ for one in training.optimizers] == [optimizer]
    assert re.search(rf"loss: {loss}(;|$)", ended.notes, re.MULTILINE), ended.notes
    assert training.measured.floors.mean is not None
    assert f"reconstruction: {made}" in ended.notes
    assert "target: the input itself" in ended.notes
    assert training.steps.done == steps == len(ended.losses)
    assert all(value == value for value in ended.losses)
    predicted = training.measured.predict(training.measured.probe)
    assert predicted.output.shape == training.measured.probe.targets.shape


def test_a_rate_set_under_way_is_the_optimizers_and_its_schedules(run_script, case):
    script, arguments, *_ = case
    before = printed(run_script(script, *arguments, watched=False), "rate")
    steering = Steering({"optim.lr": lambda settings: repr(settings.rate * 0.1)})
    ended = run_script(script, *arguments, began=steering)
    answers = steering.done()
    assert all(isinstance(one, p.Accepted) for one in answers)
    assert printed(ended, "rate") == pytest.approx([value * 0.1 for value in before])
    assert "scheduler changed the rate" not in ended.notes


@pytest.mark.parametrize(
    ("script", "which"),
    [("lightning_manual.py", "last"), ("lightning_experiment.py", "last"), ("transformers_trainer.py", "mean")],
)
def test_the_curve_is_the_loss_that_the_trainer_reports(run_script, script: str, which: str):
    pytest.importorskip(CASES[script][0])
    ended = run_script(str(SCRIPTS / script))
    (reported,) = printed(ended, "loss")
    seen = ended.losses[-1] if which == "last" else sum(ended.losses) / len(ended.losses)
    assert seen == pytest.approx(reported, rel=1e-5)
