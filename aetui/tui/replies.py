"""What each reply of an engine shows, and what the screen asks for next."""

import time
from collections.abc import Callable

from aetui import protocol as p
from aetui.alerts.sending import send_away
from aetui.alerts.told import Listener
from aetui.tui import texts
from aetui.tui.moving import Moving
from aetui.tui.resuming import Resuming
from aetui.tui.session import Session
from aetui.tui.shell import Shell


class Replies:
    """Listens to the engine of a session."""

    def __init__(
        self,
        session: Session,
        shell: Shell,
        moving: Moving,
        resuming: Resuming,
        log_file: str,
        on_trial: Callable[[], None],
    ) -> None:
        """on_trial: called when there is news of an experiment."""
        self._on_trial = on_trial
        self._session, self._model, self._shell = session, session.model, shell
        self._moving, self._resuming = moving, resuming
        self._log_file = log_file
        self._problems: list[str] = []
        """Sentences about the user's own files that the notice has not shown beside a run yet."""
        self._listener = Listener()
        self._arrival = ""
        """What the notice said when the run came to stand elsewhere."""

    def connect(self) -> None:
        """Listen to the session's present engine: what a former one says is dropped."""
        link = self._session.link

        def taken(call: Callable[[], None]) -> None:
            # From the link's thread.
            self._shell.in_turn(lambda: call() if link is self._session.link else None)

        self._session.connect(lambda reply: taken(lambda: self.take(reply)), lambda text: taken(lambda: self.end(text)))

    def take(self, reply: p.Reply) -> None:
        """Take in a reply and show what it says."""
        if isinstance(reply, p.Hello) and reply.version != p.VERSION:
            self._lose(f"the engine speaks version {reply.version} of the protocol, this screen {p.VERSION}")
            return
        shell, session = self._shell, self._session
        news = isinstance(reply, p.View) and self._has_news(reply)
        before, unsaved = self._model.status.state, self._model.status.unsaved
        session.absorb(reply)
        if (alert := self._listener.hear(reply)) is not None:
            shell.alert(alert)
        elsewhere = "another screen: " if is_foreign(reply) and not session.waiting else ""
        match reply:
            case p.View():
                if self._model.behind:
                    shell.look()
                if self._model.status.unsaved and not unsaved:
                    self._say_unsaved(self._model.status.unsaved)
                if reply.trial is not None:
                    self._on_trial()
            case p.Loading() if self._model.info is not None:
                shell.say(reply.stage)
            case p.Ready():
                self._greet(reply)
                shell.look()
            case p.Past():
                if session.training:
                    shell.bench.notice.clear_text()
                shell.look()
            case p.Places():
                self._moving.show_places(reply)
            case p.Accepted() if reply.changes:
                shell.say(f"{elsewhere}{reply.text}, takes effect at step {reply.step + 1:,}")
                shell.look()
            case p.Accepted(effect="none"):
                shell.say(reply.text)
            case p.Moved():
                self._arrival = elsewhere + self._moving.way_back(reply)
                shell.say(self._arrival)
                self._moving.refresh_places()
                shell.look()
                news = True
            case p.Refused():
                text = self._moving.way_to_left(reply)
                shell.say(self._resuming.way_on(text) if text == session.lost else text, "error")
            case p.Noted(kind="verdict") if shell.bench.notice.text:
                pass  # the line above says it, and what a key has just done stays readable
            case p.Noted() if shell.bench.notice.severity != "error":
                shell.say(reply.text, "warning" if reply.warning else "note")
            case p.StateChanged():
                self._follow_state(reply, before)
                shell.look()
            case p.Failed():
                shell.say(f"{reply.text} (log: {reply.log})" if reply.log else reply.text, "error")
                if self._model.info is None:
                    self._offer_again(reply.path)
            case p.Ended():
                self._moving.explain_places(reply.text)
                shell.say(self._resuming.way_on(reply.text))
            case _:
                pass
        shell.redraw(panes=news)

    def end(self, text: str) -> None:
        """The engine is gone; after its last event that is no news."""
        if not self._session.lost:
            self._lose(text)

    def tell(self, problems: list[str]) -> None:
        """Say what is wrong with the user's own files, now and once more when a run is there."""
        self._problems = problems
        for text in problems:
            self._session.absorb(p.Noted(text=text, warning=True, time=time.time()))
            self._shell.say(text, "warning")

    def hint(self, info: p.RunInfo | None = None) -> str:
        """What to do first, and what is worth knowing before."""
        parts = [f"{self._shell.key('run-pause')} starts training"]
        if info is not None and info.text:
            parts.append(f"{self._shell.key('about')} tells what it shows")
        return "   ".join([*parts, *(info.warnings[:1] if info is not None else ())])

    def _follow_state(self, event: p.StateChanged, before: str) -> None:
        notice = self._shell.bench.notice
        # How the run came where it rests, and the way back, says more than that it rests there.
        arrived = event.state in ("paused", "finished") and bool(self._arrival) and notice.text == self._arrival
        if event.state in ("running", "paused") and event.state != before and not arrived:
            notice.clear_text()
        if event.state == "finished" and not arrived:
            self._shell.say(f"{event.reason}; {self._shell.key('run-pause')} trains on")

    def _say_unsaved(self, reason: str) -> None:
        """The header has the word for it; this is for a screen that came after the engine said why."""
        notice = self._shell.bench.notice
        if notice.severity != "error" and texts.plain(reason) not in notice.text:
            self._shell.say(f"not saved: {reason}", "warning")

    def _has_news(self, view: p.View) -> bool:
        """Whether a pane that has been empty can be drawn now."""
        return any(getattr(view, name) is not None and getattr(self._model, name) is None for name in p.GAUGES)

    def _greet(self, event: p.Ready) -> None:
        self._shell.bench.notice.hint = self.hint(event.info)
        goes_on = f"at step {event.step:,}; {self._shell.key('run-pause')} trains on" if event.step else ""
        self._shell.say(goes_on)
        if self._problems:
            more = f" (the journal has {len(self._problems) - 1} more)" if len(self._problems) > 1 else ""
            self._shell.say(self._problems[0] + more, "warning")
            self._problems = []

    def _offer_again(self, path: str) -> None:
        """The status has the reason; the notice says what to do about it, and the form is at the setting."""
        self._shell.redraw()
        ways = f"{self._shell.key('pane-settings')} shows the settings, {self._shell.key('apply-form')} tries again"
        if len(self._model.error) > self._shell.columns:
            ways += f"; {self._shell.key('pane-journal')} Journal has the reason whole"
        self._shell.say(ways, "warning")
        if path:
            self._shell.bench.form.select(path)

    def _lose(self, text: str) -> None:
        if (alert := self._listener.lose(text)) is not None:
            self._shell.alert(alert)
            if not self._session.read_only:
                # An engine that is gone can't tell it itself.
                send_away(alert)
        self._session.lose(text, self._log_file)
        self._moving.explain_places(text)
        self._shell.redraw()
        self._shell.say(self._resuming.way_on(text), "error")


def is_foreign(reply: p.Reply) -> bool:
    """Whether a command of another screen brought this about, or the engine itself on the way to obeying one."""
    return isinstance(reply, p.Accepted | p.Moved) and reply.command == 0
