"""What becomes of a fork after an experiment: the run goes on with its change, or its spec is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aetui import protocol as p
from aetui.cli.progress import say
from aetui.cli.train import go_on, train_headless
from aetui.engine.journal import record
from aetui.runs.folder import RunFolder
from aetui.runs.recording import Recording
from aetui.spec import Problem, RunSpec, SpecError, changed, dumps
from aetui.whatif import judging
from aetui.whatif.experiment import Experiment, Fork
from aetui.whatif.source import Source
from aetui.whatif.text import conclusion, line

ADOPT, FORK, NAME, WRITE = "--adopt", "--fork", "--name", "--write"


@dataclass(frozen=True)
class Adoption:
    """What the user wants of the winner, or of the fork that they name."""

    adopt: bool = False
    fork: str | None = None
    name: str | None = None
    """Of a new run."""
    write: Path | None = None

    @property
    def wanted(self) -> bool:
        return self.adopt or self.write is not None

    def check(self, target: RunSpec | RunFolder) -> None:
        """Refuse before the experiment what would fail after it.

        Raises:
            SpecError: options don't go together, or the run is in training.
        """
        if not self.wanted and (self.fork or self.name):
            option = FORK if self.fork else NAME
            raise SpecError([Problem(option, f"it goes with {ADOPT}{' or ' + WRITE if self.fork else ''}")])
        if self.adopt and isinstance(target, RunFolder) and target.holder() is not None:
            way = f"aetui stop {target.name} ends it first"
            if not (target.path / "engine.sock").exists():
                way = target.way_to_holder()
            raise SpecError([Problem(ADOPT, f"the run {target.name} is in training; {way}")])

    def carry_out(self, source: Source, experiment: Experiment) -> int:
        """Continue the run from the fork, or write its spec; the exit status.

        Raises:
            SpecError: there is no such fork, none won, or it can't be carried out.
        """
        fork = self._chosen(experiment)
        spec = changed(source.spec, fork.change.values, text=True)
        if self.write is not None:
            self._write(self.write, spec, fork)
        if not self.adopt:
            return 0
        story = [line(one) for one in experiment.forks]
        story.insert(0, f"what-if at step {experiment.step:,}: {conclusion(experiment)}")
        if source.folder is not None and fork.start == source.step and fork.change.live:
            if self.name is not None:
                say(f"{NAME} {self.name} is not needed: {source.name} itself goes on, and undo returns to what it was")
            return _go_on(source.folder, fork, story)
        story.append(f"{fork.name} adopted: {fork.change.label}, trained from step 0 as {source.name} was")
        return train_headless(spec, steps=fork.end, as_json=False, name=self.name, story=story)

    def _chosen(self, experiment: Experiment) -> Fork:
        if self.fork is None:
            best = judging.winner(experiment)
            if best is None:
                raise SpecError([Problem(ADOPT if self.adopt else WRITE, f"no fork won: {conclusion(experiment)}")])
            return best
        try:
            fork = experiment.fork(self.fork)
        except KeyError:
            names = ", ".join(one.name for one in experiment.forks if not one.control)
            raise SpecError([Problem(FORK, f"there is no fork {self.fork!r}; it takes one of {names}")]) from None
        if fork.control:
            raise SpecError([Problem(FORK, f"{fork.name} changes nothing, so there is nothing to adopt")])
        return fork

    def _write(self, path: Path, spec: RunSpec, fork: Fork) -> None:
        try:
            path.write_text(dumps(spec), encoding="utf-8")
        except OSError as error:
            raise SpecError([Problem(WRITE, f"{path}: {error.strerror}")]) from None
        late = f"; the fork had the change from step {fork.start:,} on, the spec has it from the first" * bool(
            fork.start
        )
        say(f"{path}: the spec of {fork.name}{late}")


def _go_on(folder: RunFolder, fork: Fork, story: list[str]) -> int:
    """Train a stored run on with the fork's change, as a tweak that undo takes back."""

    def prepare(recording: Recording) -> None:
        if recording.position.step != fork.start:
            raise SpecError([Problem(ADOPT, f"{folder.name} has moved to step {recording.position.step:,} meanwhile")])
        _tweak(recording, fork, story)

    return go_on(folder, ADOPT, prepare)


def _tweak(recording: Recording, fork: Fork, story: list[str]) -> None:
    """Put the fork's change in force in a run that stands where the fork left."""
    settings = recording.training.settings
    found = settings.check(fork.change.values)
    text = ", ".join(map(str, found))
    recording.save_start()
    recording.checkpoint(f"before {text}", "before-tweak")
    recording.open_branch()
    for told in story:
        record(recording, p.Noted(text=told))
    text += settings.put_in_force(fork.change.values)
    event = p.Accepted(command=0, text=text, changes=found)
    record(recording, event, changes=fork.change.values)
    recording.want(fork.end)
