"""A run on the screen: its session with its model, and what acts on them."""

from collections.abc import Callable

from aetui import protocol as p
from aetui.spec import RunSpec
from aetui.tui.asked import Asked
from aetui.tui.exporting import Exporting
from aetui.tui.moving import Moving
from aetui.tui.replies import Replies
from aetui.tui.resuming import Resuming
from aetui.tui.session import Session
from aetui.tui.shell import Shell
from aetui.tui.tweaking import Tweaking
from aetui.tui.whatif.trying import Trying


class WatchedRun:
    """A session with its model, and the parts that work for it on one screen."""

    def __init__(
        self, session: Session, shell: Shell, *, log_file: str = "", new_engine: Callable[[], p.Link] | None = None
    ) -> None:
        """new_engine: see `Resuming`."""
        self.session, self.model, self._shell = session, session.model, shell
        self.moving = Moving(session, shell)
        self.resuming = Resuming(session, shell, new_engine)
        self.tweaking = Tweaking(session, shell, self.moving, self.resuming)
        self.exporting = Exporting(session, shell)
        self.trying = Trying(session, shell, self.resuming.way_on)
        self.replies = Replies(session, shell, self.moving, self.resuming, log_file, self.trying.follow)
        self._asked = Asked()
        """What was on its way when the screen last said so."""

    def begin(self, spec: RunSpec, *, start: bool, folder: str = "", attached: bool = False) -> None:
        """Listen to the engine and have it load a run: a stored one, the one that it has already, or a new one."""
        self.session.on_sent = lambda: self._shell.in_a_moment(self._show_asked)
        self.replies.connect()
        if folder:
            self.session.open(folder, start=start)
        elif attached:
            self.model.stage = "joining the run"
        else:
            self.session.new_run(spec, start=start)

    def run_or_pause(self) -> None:
        if self.resuming.possible:
            self.resuming.start(self.replies.connect)
        elif waits := self.session.toggle():
            self._shell.say(waits)

    def _show_asked(self) -> None:
        """Say what a key has asked for and is not done yet."""
        found = self.session.show_asked()
        if found.text and self._asked != found:
            self._shell.say(found.text)
        self._asked = found
        self._shell.redraw()
