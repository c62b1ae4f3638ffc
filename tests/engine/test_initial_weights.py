"""What a diagnosis of a run that goes on takes for its beginning."""

import pytest

from aetui import protocol as p
from aetui.cli.main import main
from aetui.diagnosis.while_training import LiveDiagnosis
from aetui.engine.worker import Engine
from aetui.runs.folder import RunFolder
from aetui.training.interface import Training

SMALL = (
    "--set", "data.kind=gaussian", "--set", "data.rows=60", "--set", "data.features=8",
    "--set", "model.hidden=6", "--set", "model.code=3", "--set", "train.batch_size=16", "--quiet",
)  # fmt: skip


@pytest.fixture
def begun(monkeypatch) -> list[int]:
    """The step at which each diagnosis took its copy of the initial weights."""
    steps: list[int] = []
    init = LiveDiagnosis.__init__

    def noted(self: LiveDiagnosis, training: Training) -> None:
        steps.append(training.steps.done)
        init(self, training)

    monkeypatch.setattr(LiveDiagnosis, "__init__", noted)
    return steps


@pytest.fixture
def stored(capfd) -> RunFolder:
    assert main(["train", *SMALL, "--name", "one", "--steps", "20"]) == 0
    return RunFolder.find("one")


def test_a_stored_run_that_is_opened_is_diagnosed_from_its_initial_weights(stored, begun):
    engine = Engine("one")
    engine.join(lambda event: engine.submit(p.Stop(id=2)) if isinstance(event, p.StateChanged) else None)
    engine.submit(p.Open(id=1, folder=str(stored.path)))
    engine.work()
    assert engine.run is not None and engine.run.training.steps.done == 20
    assert begun == [0]


def test_a_run_that_is_resumed_without_a_screen_is_diagnosed_from_its_initial_weights(stored, begun):
    assert main(["resume", "one", "--headless", "--steps", "30", "--quiet"]) == 0
    assert begun == [0]
