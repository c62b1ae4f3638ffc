"""Ending the screen: quit, detach, and what becomes of the engine."""

from aetui.tui import dialogs
from aetui.tui.session import Session
from aetui.tui.shell import Shell


class Leaving:
    """Whether the engine goes on without its screen: as the user chose, else if it can."""

    def __init__(self, session: Session, shell: Shell, *, placement: str, attached: bool) -> None:
        """attached: the engine belongs to another screen, or to none. placement: `process` or `thread`."""
        self._session, self._shell = session, shell
        self._placement, self._attached = placement, attached
        self._chosen = ""

    @property
    def how(self) -> str:
        """What is to become of the engine: `stop` or `detach`."""
        return self._chosen or ("stop" if self._bound() else "detach")

    def detach(self) -> None:
        if reason := self._bound():
            self._shell.say(f"can't detach: {reason}", "warning")
        else:
            self._leave("detach")

    def quit(self) -> None:
        """Stop a run that nobody misses; ask about one that trains, or that other screens watch.

        Asked again, in the dialog, the engine goes on where it can.
        """
        top = self._shell.screens[-1]
        asked = isinstance(top, dialogs.Confirm) and top.id == "quit"
        session, free = self._session, not self._bound()
        info, status = session.model.info, session.model.status
        watched = self._attached or status.screens > 1
        if session.read_only:
            self._leave("detach")
        elif session.lost:
            self._leave("detach" if self._attached else "stop")
        elif asked:
            self._leave("detach" if free else "stop")
        elif free and (session.training or watched):
            name, script = (info.name, "" if info.spec else info.source) if info else ("", "")
            self._ask(dialogs.quit_or_detach(status.step, session.training, status.screens, name, script))
        elif session.training:
            self._ask(dialogs.quit_while_training(stored=bool(info and info.folder)))
        else:
            self._leave("stop")

    def _bound(self) -> str:
        """Why the engine can't go on without this screen, '' if it can."""
        info = self._session.model.info
        if self._attached:
            return ""
        if self._placement != "process":
            return "the engine is a thread of this program and ends with it: detach needs --engine process"
        if self._session.lost:
            return self._session.lost
        if info is None:
            return "there is no run yet"
        return "" if info.folder else "the run is not stored, and a screen could not find it again"

    def _ask(self, question: dialogs.Confirm) -> None:
        def chosen(answer: str | None) -> None:
            if answer in ("stop", "detach"):
                self._leave(answer)

        self._shell.ask(question, chosen)

    def _leave(self, how: str) -> None:
        self._chosen = how
        self._shell.leave()
