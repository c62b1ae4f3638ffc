"""The key for What-if: from the choice of forks to what becomes of the best."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aetui import protocol as p
from aetui.spec import SpecError, changed, dumps, loads
from aetui.tui.dialogs import Choice, Confirm
from aetui.tui.session import Session
from aetui.tui.shell import Shell
from aetui.tui.whatif.choose import ChooseForks
from aetui.tui.whatif.proposals import proposals
from aetui.tui.whatif.screen import ADOPT, WRITE, WhatIfScreen, spec_file

_PROBES, _NOT = "probes", "not"


class Trying:
    """The experiments of a session, on the screen."""

    def __init__(self, session: Session, shell: Shell, way_on: Callable[[str], str]) -> None:
        """way_on: what to do where there is no engine, from why there is none."""
        self._session, self._shell, self._way_on = session, shell, way_on
        self._screen: WhatIfScreen | None = None
        self._seed = 0
        """Of the next random draw."""

    def open(self) -> None:
        """Show the experiment of this run, or choose one."""
        model, info = self._session.model, self._session.model.info
        if self._session.lost:
            self._shell.say(self._way_on(self._session.lost), "error")
        elif info is None:
            self._shell.say("there is no run yet")
        elif not info.spec:
            self._offer_probes(info)
        elif model.trial is not None and model.trial.run == info.name:
            self._show()
        else:
            self.choose()

    def choose(self) -> None:
        """Choose what to try."""
        session, form = self._session, self._shell.bench.form
        model = session.model
        if not form.commit() or model.info is None:
            return
        edit = {one.path: one.new for one in form.pending() if one.new}
        report = model.diagnosis.report if model.diagnosis is not None else None
        lost = model.status.state == "non-finite" or bool(report is not None and report.ruined)
        step, seed = model.status.step, self._seed
        found, described = proposals(model.spec, report, edit, step=step, anew=lost and step > 0, seed=seed)

        def chosen(asked: p.TryForks | None) -> None:
            if asked is not None:
                self._seed += 1
                session.try_forks(asked, self._show)

        self._shell.ask(ChooseForks(found, described, step, seed), chosen)

    def follow(self) -> None:
        """Show what has become of the experiment since."""
        trial = self._session.model.trial
        if self._screen is not None and trial is not None:
            self._screen.take(trial)

    def _show(self) -> None:
        if self._screen is None:
            self._screen = WhatIfScreen(self._obey)
            self._shell.overhear = self._screen.tell
            self._shell.ask(self._screen, self._left)
            # Its parts have to be there before they can show anything.
            self._shell.after_refresh(self.follow)
        self._shell.look()

    def _left(self, _: None) -> None:
        self._screen = None
        self._shell.overhear = None

    def _obey(self, what: str, fork: str) -> None:
        if what == "cancel":
            self._session.cancel_try()
        elif what == "again":
            self.choose()
        elif what == WRITE:
            self._write(fork)
        elif what == ADOPT:
            self._session.adopt(fork, self._adopted)

    def _adopted(self) -> None:
        """The workbench shows the run that goes on."""
        if self._screen is not None:
            self._screen.dismiss()

    def _write(self, name: str) -> None:
        trial = self._session.model.trial
        fork = next((one for one in trial.forks if one.name == name), None) if trial is not None else None
        if trial is None or fork is None:
            return
        path = Path(spec_file(name))
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(dumps(changed(loads(trial.spec), fork.settings, text=True)))
        except FileExistsError:
            self._shell.say(f"{path} is there already, and stays as it is", "error")
        except OSError as error:
            self._shell.say(f"{path} can't be written: {error.strerror}", "error")
        except SpecError as error:
            self._shell.say(str(error.problems[0]), "error")
        else:
            late = f"; the fork had its change from step {fork.start:,} on, the spec from the first" * bool(fork.start)
            self._shell.say(f"saved {path}{late}")

    def _offer_probes(self, info: p.RunInfo) -> None:
        text = (
            f"{info.name} trains in a loop of its own. No copy of it can train on from here, so it can't be forked. "
            "Probes can check the suspected causes with short trainings of copies of its model; it pauses for them."
        )
        choices = (Choice(_PROBES, "p", "check the suspects with probes"), Choice(_NOT, "c", "cancel"))

        def chosen(answer: str | None) -> None:
            if answer == _PROBES:
                self._session.examine()

        self._shell.ask(Confirm("What-if", text, choices, _NOT), chosen)
