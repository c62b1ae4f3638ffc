"""Moving a run in its own past: undo, redo, rewind, and going back to where a remedy still helps."""

from collections.abc import Callable

from aetui import protocol as p
from aetui.tui.late_remedy import CANCEL, FORM, LateRemedyDialog
from aetui.tui.rewind import RewindDialog
from aetui.tui.session import Session
from aetui.tui.shell import Shell


class Moving:
    """The keys that move a run, the lists of its checkpoints, and what is said once it has moved."""

    def __init__(self, session: Session, shell: Shell) -> None:
        self._session, self._shell = session, shell
        self._explained = False
        self._explain = False
        """Whether what comes next is to say what suspends."""

    def explain_undo(self) -> None:
        """Have the first answer to ctrl+z, which suspends elsewhere, say which key does that here."""
        self._explain, self._explained = not self._explained, True

    def rewind(self) -> None:
        """Offer the checkpoints, or close their list."""
        session, top = self._session, self._shell.screens[-1]
        if isinstance(top, RewindDialog):
            top.dismiss(None)
            return
        if session.lost or session.model.info is None:
            self._shell.say(session.lost or "there is no run yet", "error" if session.lost else "note")
            return
        dialog = RewindDialog()

        def chosen(checkpoint: int | None) -> None:
            if checkpoint is None:
                return
            if any(place.here and place.checkpoint == checkpoint for place in dialog.places or ()):
                self._shell.say("the run stands there already")
            else:
                session.rewind(checkpoint)

        self._shell.ask(dialog, chosen)
        session.list_places()

    def offer_to_go_back(self, dialog: LateRemedyDialog, changes: dict[str, str], put: Callable[[], None]) -> None:
        """Ask where to apply a remedy that comes too late. put: puts it into the form."""

        def chosen(answer: str | None) -> None:
            if answer == FORM:
                put()
            elif answer not in (None, CANCEL):
                self._session.rewind_and_set(int(answer), changes)

        self._shell.ask(dialog, chosen)
        if self._session.lost:
            dialog.explain(self._session.lost)
        self._session.list_places()

    # --- the lists that are open ----------------------------------------------------------------

    def show_places(self, reply: p.Places) -> None:
        """Fill the list of checkpoints, if it is still open."""
        for dialog in self._lists:
            dialog.show(reply.places)

    def refresh_places(self) -> None:
        """The run stands elsewhere while the list is open."""
        if self._lists:
            self._session.list_places()

    def explain_places(self, text: str) -> None:
        """No list will come."""
        for dialog in self._lists:
            if dialog.places is None:
                dialog.explain(text)

    @property
    def _lists(self) -> list[RewindDialog | LateRemedyDialog]:
        return [screen for screen in self._shell.screens if isinstance(screen, RewindDialog | LateRemedyDialog)]

    # --- what is said ---------------------------------------------------------------------------

    def way_back(self, event: p.Moved) -> str:
        """Where the run went, with the keys that return to where it was; these first where not all of it fits."""
        redo, rewind = self._shell.key("redo"), self._shell.key("rewind")
        later = ""
        if event.redo is not None and redo:
            later = f", {rewind} after training on" if event.left is not None and rewind else ""
            way = f"{redo} returns to step {event.redo:,}"
        elif event.left is not None and rewind:
            way = f"{rewind} returns to step {event.left:,}"
        else:
            return event.text + self._suspends()
        hint, room = self._suspends(), self._shell.columns - 2
        whole = f"{event.text}; {way}{later}{hint}"
        if len(whole) <= room:
            return whole
        if not hint:
            return f"{way}{later}: {event.text}"
        shorter = f"undone; {way}{later}{hint}"
        return shorter if len(shorter) <= room else f"undone; {way}{hint}"

    def way_to_left(self, event: p.Refused) -> str:
        """Why a command had no effect, with the key that leads to what the run has left."""
        rewind = self._shell.key("rewind")
        text = event.text if event.left is None or not rewind else f"{event.text}; {rewind} lists it"
        return text + self._suspends()

    def _suspends(self) -> str:
        """What to add to the first answer to ctrl+z."""
        wanted, self._explain = self._explain, False
        key = self._shell.key("suspend")
        return f"; {key} suspends to the shell" if wanted and key else ""
