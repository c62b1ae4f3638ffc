"""Changing settings: the form, a remedy that goes into it, the search for a setting, the choice of clipping."""

from aetui.report import Remedy
from aetui.tui import dialogs, late_remedy, remedies, told
from aetui.tui.clip_dialog import ChooseClipping
from aetui.tui.find_setting import FindSetting
from aetui.tui.moving import Moving
from aetui.tui.resuming import Resuming
from aetui.tui.session import Session
from aetui.tui.shell import Shell


class Tweaking:
    """The keys that change settings, and the dialogs between them and the session."""

    def __init__(self, session: Session, shell: Shell, moving: Moving, resuming: Resuming) -> None:
        self._session, self._shell = session, shell
        self._moving, self._resuming = moving, resuming

    def apply_form(self) -> None:
        """Put the edited settings in force, or offer a new run where one has to start over."""
        form, session = self._shell.bench.form, self._session
        if not form.commit():
            return
        if session.model.error and session.model.info is None:
            session.new_run(form.draft)
            return
        live, structural = form.live_and_structural()
        if structural:
            applicable = [item for item in form.pending() if item.path in live]

            def chosen(answer: str | None) -> None:
                if answer == "new":
                    session.new_run(form.draft)
                elif answer == "live":
                    session.set(live)

            self._shell.ask(dialogs.offer_new_run(structural, applicable), chosen)
        elif live:
            session.set(live)
        else:
            self._shell.say("no setting is edited")

    def take(self, remedy: Remedy) -> None:
        """Put a remedy into the form, or offer to go back where it comes too late."""

        def put() -> None:
            self._shell.say(*remedies.put(self._shell.bench.form, remedy, self._shell.key("apply-form"), settable))

        model = self._session.model
        spec, shown, settable = model.spec, model.diagnosis, told.settable(model.info)
        late = late_remedy.late_settings(spec, shown.report, remedy, settable) if shown else {}
        if shown and late:
            self._moving.offer_to_go_back(late_remedy.LateRemedyDialog(spec, shown.report, remedy), late, put)
        else:
            put()

    def find(self) -> None:
        """Search a setting and edit it."""
        bench = self._shell.bench
        if not bench.form.commit():
            return

        def chosen(path: str | None) -> None:
            if path is not None:
                bench.choose("settings")
                bench.form.select(path)
                self._shell.after_refresh(bench.form.edit)

        self._shell.ask(FindSetting(bench.form.rows), chosen)

    def choose_clipping(self) -> None:
        if self._session.lost:
            self._shell.say(self._resuming.way_on(self._session.lost), "error")
            return

        def chosen(changes: dict[str, str] | None) -> None:
            if changes is not None:
                self._session.set(changes)

        self._shell.ask(ChooseClipping(self._session.model), chosen)
