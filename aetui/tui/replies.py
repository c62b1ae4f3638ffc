"""What each reply of the engine shows, and what the screen asks for next."""

from abc import abstractmethod

from textual.message import Message

from aetui import protocol as p
from aetui.tui import texts
from aetui.tui.actions import key_text
from aetui.tui.model import RunModel
from aetui.tui.travel import Travel, is_foreign
from aetui.tui.workbench import WorkbenchScreen


class Replies(Travel):
    """The part of the workbench that listens to its engine."""

    bench: WorkbenchScreen
    _log_file: str
    _problems: list[str]
    """Sentences about the user's own files that the notice has not shown yet."""
    _arrival = ""
    """What the notice said when the run came to stand elsewhere."""

    class Replied(Message):
        """Something came from an engine."""

        def __init__(self, reply: p.Reply, link: p.Link) -> None:
            super().__init__()
            self.reply, self.link = reply, link

    class Lost(Message):
        """An engine is gone."""

        def __init__(self, text: str, link: p.Link) -> None:
            super().__init__()
            self.text, self.link = text, link

    @property
    def model(self) -> RunModel:
        return self.session.model

    @abstractmethod
    def _look(self) -> None: ...

    @abstractmethod
    def _redraw(self, panes: bool = False) -> None: ...

    def _connect(self) -> None:
        # Replies come from the link's thread; those of a former link are told apart by it.
        link = self.session.link

        def deliver(reply: p.Reply) -> None:
            self.post_message(self.Replied(reply, link))

        def lost(text: str) -> None:
            self.post_message(self.Lost(text, link))

        self.session.connect(deliver, lost)

    def on_replies_replied(self, message: Replied) -> None:
        reply = message.reply
        if message.link is not self.session.link:
            return
        first = isinstance(reply, p.View) and self._has_news(reply)
        before, unsaved = self.model.status.state, self.model.status.unsaved
        if isinstance(reply, p.Hello) and reply.version != p.VERSION:
            self._lose(f"the engine speaks version {reply.version} of the protocol, this screen {p.VERSION}")
            return
        self.session.absorb(reply)
        elsewhere = "another screen: " if is_foreign(reply) and not self.session.waiting else ""
        match reply:
            case p.View():
                if self.model.behind:
                    self._look()
                if self.model.status.unsaved and not unsaved:
                    self._say_unsaved(self.model.status.unsaved)
            case p.Loading() if self.model.info is not None:
                self._say(reply.stage)
            case p.Ready():
                self._greet(reply)
                self._look()
            case p.Past():
                if self.session.training:
                    self.bench.notice.clear_text()
                self._look()
            case p.Places():
                self.show_places(reply)
            case p.Accepted() if reply.changes:
                self._say(f"{elsewhere}{reply.text}, takes effect at step {reply.step + 1:,}")
                self._look()
            case p.Accepted(effect="none"):
                self._say(reply.text)
            case p.Moved():
                self._arrival = elsewhere + self.way_back(reply)
                self._say(self._arrival)
                self.refresh_places()
                self._look()
                first = True
            case p.Refused():
                text = self.way_to_left(reply)
                self._say(self.way_on(text) if text == self.session.lost else text, "error")
            case p.Noted(kind="verdict") if self.bench.notice.text:
                pass  # the line above says it, and what a key has just done stays readable
            case p.Noted() if self.bench.notice.severity != "error":
                self._say(reply.text, "warning" if reply.warning else "note")
            case p.StateChanged():
                self._follow_state(reply, before)
                self._look()
            case p.Failed():
                self._say(f"{reply.text} (log: {reply.log})" if reply.log else reply.text, "error")
                if self.model.info is None:
                    self._offer_again(reply.path)
            case p.Ended():
                self.explain_places(reply.text)
                self._say(self.way_on(reply.text))
            case _:
                pass
        self._redraw(panes=first)

    def _follow_state(self, event: p.StateChanged, before: str) -> None:
        arrived = event.state == "paused" and self.bench.notice.text == self._arrival
        if event.state in ("running", "paused") and event.state != before and not arrived:
            self.bench.notice.clear_text()
        if event.state == "finished":
            self._say(f"{event.reason}; {key_text('run-pause', self.user_keys)} trains on")

    def _say_unsaved(self, reason: str) -> None:
        """The header has the word for it; this is for a screen that came after the engine said why."""
        notice = self.bench.notice
        if notice.severity != "error" and texts.plain(reason) not in notice.text:
            self._say(f"not saved: {reason}", "warning")

    def _has_news(self, view: p.View) -> bool:
        """Whether a pane that has been empty can be drawn now."""
        return any(getattr(view, name) is not None and getattr(self.model, name) is None for name in p.GAUGES)

    def _greet(self, event: p.Ready) -> None:
        self.bench.notice.hint = self._hint(event.info)
        goes_on = f"at step {event.step:,}; {key_text('run-pause', self.user_keys)} trains on" if event.step else ""
        self._say(goes_on)
        if self._problems:
            more = f" (the journal has {len(self._problems) - 1} more)" if len(self._problems) > 1 else ""
            self._say(self._problems[0] + more, "warning")
            self._problems = []

    def _offer_again(self, path: str) -> None:
        """The status has the reason; the notice says what to do about it, and the form is at the setting."""
        self._redraw()
        settings, apply = key_text("pane-settings", self.user_keys), key_text("apply-form", self.user_keys)
        ways = f"{settings} shows the settings, {apply} tries again"
        if len(self.model.error) > self.size.width:
            ways += f"; {key_text('pane-journal', self.user_keys)} Journal has the reason whole"
        self._say(ways, "warning")
        if path:
            self.bench.form.select(path)

    def _hint(self, info: p.RunInfo | None = None) -> str:
        """What to do first, and what is worth knowing before."""
        parts = [f"{key_text('run-pause', self.user_keys)} starts training"]
        if info is not None and info.text:
            parts.append(f"{key_text('about', self.user_keys)} tells what it shows")
        return "   ".join([*parts, *(info.warnings[:1] if info is not None else ())])

    def _say(self, text: str, severity: str = "note") -> None:
        self.bench.notice.show_text(text, severity)

    def on_replies_lost(self, message: Lost) -> None:
        # After its last event the end of an engine is no news.
        if message.link is self.session.link and not self.session.lost:
            self._lose(message.text)

    def _lose(self, text: str) -> None:
        self.session.lose(text, self._log_file)
        self.explain_places(text)
        self._redraw()
        self._say(self.way_on(text), "error")
