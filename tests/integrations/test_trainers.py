"""Scripts under the trainers that people use, untouched, under the runner; with the real packages."""

from __future__ import annotations

import copy
import pickle
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import aetui.integrations
from aetui import protocol as p
from aetui.runs.folder import RunFolder
from aetui.watching import finding
from aetui.watching.told import Told
from tests.watching.conftest import Screen
from tests.watching.running import Ended, recorded, run_script

__all__ = ["run_script"]

SCRIPTS = Path(__file__).parent / "scripts"
CASES = {
    "lightning_plateau.py": ("lightning", (), "Seen", "Adam", "mse_sum", "what model.decoder returns", 42),
    "lightning_manual.py": ("pytorch_lightning", (), "Seen", "Adam", "mse", "what vaegan returns", 60),
    "lightning_experiment.py": (
        "pytorch_lightning", (), "Seen", "Adam", "mse", "first item of what experiment.model returns", 40,
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


def figures(ended: Ended) -> list[str]:
    """What a script printed that does not depend on the clock."""
    return [line for line in ended.printed.splitlines() if line.partition(" ")[0] in ("val", "loss", "rate", "weights")]


def printed(ended: Ended, name: str) -> list[float]:
    line = next(line for line in ended.printed.splitlines() if line.startswith(f"{name} "))
    return [float(word) for word in line.split()[1:]]


def test_an_untouched_script_is_understood_paused_and_trains_as_without(run_script, case):
    script, arguments, model, optimizer, loss, made, steps = case
    alone = run_script(script, *arguments, watched=False)
    assert figures(alone)[-1].startswith("weights 0x")
    steering = Steering({})
    ended = run_script(script, *arguments, began=steering)
    assert ended.run is not None, ended.said
    assert isinstance(steering.done()[0], p.Accepted)
    assert figures(ended) == figures(alone)
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


@pytest.mark.parametrize(
    ("script", "arguments", "cause"),
    [
        ("lightning_experiment.py", ("--kld_weight", "1.0", "--epochs", "20"), "posterior-collapse"),
        ("transformers_trainer.py", ("0.5",), "lr-too-high"),
        ("accelerate_loop.py", ("--lr", "1e-7"), "lr-too-low"),
        ("pythae_vae.py", ("500", "40"), "posterior-collapse"),
    ],
)
def test_the_verdict_on_a_script_that_collapses_names_the_cause(run_script, script: str, arguments: Any, cause: str):
    pytest.importorskip(CASES[script][0])
    run_script(str(SCRIPTS / script), *arguments)
    judged, _ = recorded(*RunFolder.all())
    assert judged.report.cause == cause, [(one.cause, one.confidence) for one in judged.report.findings]


def test_a_run_that_is_ended_from_a_screen_is_ctrl_c_to_lightning(run_script):
    pytest.importorskip("lightning")
    handler = signal.getsignal(signal.SIGINT)
    runs: list[Any] = []

    def stop(run: Any) -> None:
        runs.append(run)
        run._engine.submit(p.Stop(id=1))

    try:
        with pytest.raises(SystemExit) as ended:
            run_script(str(SCRIPTS / "lightning_plateau.py"), began=stop)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert ended.value.code == 1
    assert 16 <= runs[0]._training.steps.done < 42


def test_a_callback_leaves_the_runner_alone_and_a_training_that_breaks_off_behind(monkeypatch):
    lightning = pytest.importorskip("lightning")
    monkeypatch.setattr(finding, "_finder", None)
    callback = aetui.integrations.lightning("twice")
    hooks = torch.nn.modules.module._global_forward_hooks

    class Broken(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 4)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            if batch_idx == 20:
                raise LookupError("no more")
            return torch.nn.functional.mse_loss(self.layer(batch), batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    for _ in range(2):
        trainer = lightning.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=[callback],
        )  # fmt: skip
        with pytest.raises(LookupError):
            trainer.fit(Broken(), torch.utils.data.DataLoader(torch.randn(240, 4), 8))
        assert finding._finder is None and not hooks
    assert type(pickle.loads(pickle.dumps(callback))).__name__ == "AetuiCallback"  # noqa: S301
    assert copy.deepcopy(callback).watching is not callback.watching
    names = [folder.name for folder in RunFolder.all()]
    assert len(names) == 2 and "twice" in names
    runner = finding.Finder(Told(), lambda text: None)
    monkeypatch.setattr(finding, "_finder", runner)
    try:
        callback.watching.begin()
        assert callback.watching.run is None and finding._finder is runner
    finally:
        runner.remove()
