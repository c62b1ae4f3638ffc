"""Going back in a run, and leaving it: undo, redo, rewind, detach, quit, and another engine where one is gone."""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from aetui import protocol as p
from aetui.tui import dialogs
from aetui.tui.actions import key_text
from aetui.tui.mend import CANCEL, FORM, MendDialog
from aetui.tui.ordered import OrderedInput
from aetui.tui.rewind import RewindDialog
from aetui.tui.session import Session

log = logging.getLogger(__name__)


class Travel(OrderedInput):
    """The part of the workbench that moves in the run's tree and that ends the screen."""

    session: Session
    placement: str
    attached: bool
    user_keys: dict[str, str]
    revive: Callable[[], p.Link] | None
    """Starts another engine where the present one is gone; an error that it raises is a sentence."""
    _leaving = ""
    _reviving = False

    @abstractmethod
    def _say(self, text: str, severity: str = "note") -> None: ...

    @abstractmethod
    def _connect(self) -> None:
        """Connect the session's link."""

    # --- in the tree ----------------------------------------------------------------------------

    def action_undo(self) -> None:
        self.session.undo()

    def action_redo(self) -> None:
        self.session.redo()

    def action_rewind(self) -> None:
        if isinstance(self.screen, RewindDialog):
            self.screen.dismiss(None)
            return
        if self.session.lost or self.session.model.info is None:
            self._say(self.session.lost or "there is no run yet", "error" if self.session.lost else "note")
            return
        dialog = RewindDialog()

        def chosen(checkpoint: int | None) -> None:
            if checkpoint is None:
                return
            if any(place.here and place.checkpoint == checkpoint for place in dialog.places or ()):
                self._say("the run stands there already")
            else:
                self.session.rewind(checkpoint)

        self.push_screen(dialog, chosen)
        self.session.list_places()

    def show_places(self, reply: p.Places) -> None:
        """Fill the list of checkpoints, if it is still open."""
        for screen in self._listing():
            screen.show(reply.places)

    def refresh_places(self) -> None:
        """The run stands elsewhere while the list is open."""
        if self._listing():
            self.session.list_places()

    def explain_places(self, text: str) -> None:
        """No list will come."""
        for screen in self._listing():
            if screen.places is None:
                screen.explain(text)

    def _listing(self) -> list[RewindDialog | MendDialog]:
        """The dialogs that show checkpoints."""
        return [screen for screen in self.screen_stack if isinstance(screen, RewindDialog | MendDialog)]

    def offer_to_go_back(self, dialog: MendDialog, changes: dict[str, str], put: Callable[[], None]) -> None:
        """Ask where to apply a remedy that comes too late. put: puts it into the form."""

        def chosen(answer: str | None) -> None:
            if answer == FORM:
                put()
            elif answer not in (None, CANCEL):
                self.session.rewind_and_set(int(answer), changes)

        self.push_screen(dialog, chosen)
        if self.session.lost:
            dialog.explain(self.session.lost)
        self.session.list_places()

    def way_back(self, event: p.Moved) -> str:
        """Where the run went, with the keys that return to where it was; these first where not all of it fits."""
        redo, rewind = key_text("redo", self.user_keys), key_text("rewind", self.user_keys)
        if event.redo is not None and redo:
            later = f", {rewind} after training on" if event.left is not None and rewind else ""
            way = f"{redo} returns to step {event.redo:,}{later}"
        elif event.left is not None and rewind:
            way = f"{rewind} returns to step {event.left:,}"
        else:
            return event.text
        whole = f"{event.text}; {way}"
        return whole if len(whole) <= self.size.width - 2 else f"{way}: {event.text}"

    def way_to_left(self, event: p.Refused) -> str:
        """Why a command had no effect, with the key that leads to what the run has left."""
        rewind = key_text("rewind", self.user_keys)
        return event.text if event.left is None or not rewind else f"{event.text}; {rewind} lists it"

    # --- leaving --------------------------------------------------------------------------------

    @property
    def leaving(self) -> str:
        """What is to become of the engine: `stop` or `detach`, as chosen; without a choice it goes on if it can."""
        return self._leaving or ("stop" if self._bound() else "detach")

    def _bound(self) -> str:
        """Why the engine can't go on without this screen, '' if it can."""
        info = self.session.model.info
        if self.attached:
            return ""
        if self.placement != "process":
            return "the engine is a thread of this program and ends with it: detach needs --engine process"
        if self.session.lost:
            return self.session.lost
        if info is None:
            return "there is no run yet"
        return "" if info.folder else "the run is not stored, and a screen could not find it again"

    def _leave(self, how: str) -> None:
        self._leaving = how
        self.exit()

    def action_detach(self) -> None:
        if reason := self._bound():
            self._say(f"can't detach: {reason}", "warning")
        else:
            self._leave("detach")

    async def action_quit(self) -> None:
        """Stop a run that nobody misses; ask about one that trains, or that other screens watch.

        Asked again, in the dialog, the engine goes on where it can.
        """
        asked = isinstance(self.screen, dialogs.Confirm) and self.screen.id == "quit"
        model, free = self.session.model, not self._bound()
        watched = self.attached or model.status.screens > 1
        if self.session.lost:
            self._leave("detach" if self.attached else "stop")
        elif asked:
            self._leave("detach" if free else "stop")
        elif free and (self.session.training or watched):
            name = model.info.name if model.info else ""
            screens = model.status.screens
            self._ask(dialogs.quit_or_detach(model.status.step, self.session.training, screens, name))
        elif self.session.training:
            stored = bool(model.info and model.info.folder)
            self._ask(dialogs.quit_while_training(stored))
        else:
            self._leave("stop")

    def _ask(self, question: dialogs.Confirm) -> None:
        def chosen(answer: str | None) -> None:
            if answer in ("stop", "detach"):
                self._leave(answer)

        self.push_screen(question, chosen)

    # --- another engine -------------------------------------------------------------------------

    @property
    def revivable(self) -> bool:
        """Whether another engine can continue the run of the one that is gone."""
        info = self.session.model.info
        return bool(self.revive and self.session.lost and info and info.folder)

    def way_on(self, text: str) -> str:
        """Why the engine is gone, with what to do about it here."""
        resumes = f"{key_text('run-pause', self.user_keys)} resumes the run from the store"
        return f"{resumes}: {text}" if self.revivable else text

    def start_reviving(self) -> None:
        """Have another engine continue the run; the screen goes on meanwhile."""
        if not self._reviving:
            self._reviving = True
            self._say("starting another engine")
            self.run_worker(self._revive(), exclusive=True, group="revive")

    async def _revive(self) -> None:
        info, revive = self.session.model.info, self.revive
        assert info is not None and revive is not None
        former: p.Link | None = None
        try:
            link = await asyncio.to_thread(revive)
        except Exception as error:
            log.warning("no other engine", exc_info=error)
            self._say(f"the run can't be resumed: {error}", "error")
        else:
            start = self.session.was_training
            former = self.session.replace_link(link)
            self._connect()
            self.session.open(info.folder, start)
        finally:
            self._reviving = False
        if former is not None:
            await asyncio.to_thread(former.detach)


def is_foreign(reply: Any) -> bool:
    """Whether a command of another screen brought this about, or the engine itself on the way to obeying one."""
    return isinstance(reply, p.Accepted | p.Moved) and reply.command == 0
