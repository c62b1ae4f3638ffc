"""What a screen does with its engine: commands out, replies in, and when to ask for the next view."""

import time
from collections.abc import Callable

from aetui import protocol as p
from aetui.spec import RunSpec, dumps
from aetui.tui import asked
from aetui.tui.asked import Asked
from aetui.tui.model import RunModel


class Session:
    """The screen's side of a run, without any widget.

    Commands are sent without waiting; what the user sees changes when the engine acknowledges.
    Keys pressed before the engine is ready are queued by the link and obeyed in order. Once the
    engine is gone every command is refused with the reason.
    """

    def __init__(self, link: p.Link, spec: RunSpec, *, read_only: bool = False) -> None:
        """read_only: nothing is asked of the engine but to tell."""
        self.model = RunModel(spec=spec, read_only=read_only)
        self.read_only = read_only
        self._link = link
        self._next_id = 1
        self._waiting: dict[int, p.Commands] = {}
        self._next: dict[int, Callable[[], None]] = {}
        """What is to be sent once a command is obeyed; nothing where it is refused."""
        self._running = self._stepping = False
        self._state = ""
        self._looking = self._joining = False
        self._lost = ""
        self.was_training = False
        """Whether the run trained when its engine was lost."""
        self._deliver: Callable[[p.Reply], None] = self.absorb
        self.on_sent: Callable[[], None] = lambda: None
        """Called after each command, for the screen to show what is asked for where the answer takes long."""

    def connect(self, deliver: Callable[[p.Reply], None], lost: Callable[[str], None]) -> None:
        """Start the exchange; replies come from another thread."""
        self._deliver = deliver
        self._link.connect(deliver, lost)

    @property
    def link(self) -> p.Link:
        """What holds the present engine."""
        return self._link

    @property
    def lost(self) -> str:
        """Why there is no engine, '' while there is one."""
        return self._lost

    def replace_link(self, link: p.Link) -> p.Link:
        """Go on with another engine, which is yet to be connected; what is known of the run stays. The former link."""
        former, self._link = self._link, link
        # An engine answers no look before it has a run.
        self._joining = self._looking = True
        self._lost, self._running, self._stepping = "", False, False
        self._waiting.clear()
        self._next.clear()
        self.show_asked()
        return former

    def lose(self, text: str, log: str = "") -> None:
        """Take note that the engine is gone, and why; what is known of the run stays."""
        if self._lost:
            return
        self.was_training = self.training
        self._lost = text
        self._waiting.clear()
        self._next.clear()
        self._stepping = False
        self.show_asked()
        step, now = self.model.status.step, time.time()
        if self.model.info is None:
            self.absorb(p.Failed(text=text, step=step, time=now, log=log))
        else:
            self.absorb(p.StateChanged(state="failed", reason=text, step=step, time=now))

    # --- commands -------------------------------------------------------------------------------

    def new_run(self, spec: RunSpec, start: bool = False) -> None:
        self.model.spec = spec if self.model.info is None else self.model.spec
        self._running = start
        self._send(lambda id: p.New(id=id, spec=dumps(spec), start=start))

    def open(self, folder: str, start: bool = False) -> None:
        """Continue a stored run where its record ends."""
        self._running = start
        self._send(lambda id: p.Open(id=id, folder=folder, start=start))

    def undo(self) -> None:
        """Return to just before the last tweak."""
        self._send(lambda id: p.Undo(id=id))

    def redo(self) -> None:
        """Return to where the last undo left from."""
        self._send(lambda id: p.Redo(id=id))

    def rewind(self, checkpoint: int) -> None:
        """Return to a checkpoint, `Place.checkpoint`."""
        self._send(lambda id: p.Rewind(id=id, checkpoint=checkpoint))

    def rewind_and_set(self, checkpoint: int, changes: dict[str, str]) -> None:
        """Return to a checkpoint and change settings there; a run that trained trains on after both."""
        go_on = self.run if self.training else None
        self._send(
            lambda id: p.Rewind(id=id, checkpoint=checkpoint),
            lambda: self._send(lambda id: p.Set(id=id, changes=changes), go_on),
        )

    def list_places(self) -> None:
        """Ask for the checkpoints; they come as `Places`."""
        if not self._lost:
            self._link.send(p.ListPlaces())

    def toggle(self) -> str:
        """Run if the run is paused, else pause; why neither is asked for, '' where it is.

        A repeat never undoes what is still on its way.
        """
        waits = "" if self._lost else asked.again(self._waiting.values(), self.model.status.state)
        if waits:
            self.show_asked()
            return waits
        self._running = not self._running
        if self._running:
            self.run()
        else:
            self._send(lambda id: p.Pause(id=id))
        return ""

    def run(self) -> None:
        """Train on."""
        self._running = True
        self._send(lambda id: p.Run(id=id))

    def run_steps(self, steps: int) -> None:
        """Train `steps` more steps and pause."""
        self._running = steps > 1
        self._send(lambda id: p.Run(id=id, steps=steps))

    def nudge(self, path: str, by: int) -> None:
        self._send(lambda id: p.Nudge(id=id, path=path, by=by))

    def set(self, changes: dict[str, str]) -> None:
        self._send(lambda id: p.Set(id=id, changes=changes))

    def examine(self) -> None:
        """Have the suspected causes checked with probes on copies; the run pauses."""
        self._running = False
        self._send(lambda id: p.Examine(id=id))

    def _send(self, make: Callable[[int], p.Commands], then: Callable[[], None] | None = None) -> None:
        command = make(self._next_id)
        self._next_id += 1
        self._waiting[command.id] = command
        if then is not None:
            self._next[command.id] = then
        if why := self._lost or p.READ_ONLY * self.read_only:
            step, now = self.model.status.step, time.time()
            self._deliver(p.Refused(command=command.id, text=why, step=step, time=now))
            return
        self._link.send(command)
        self.on_sent()

    def show_asked(self) -> Asked:
        """Have the model say what is on its way at this moment, until it is acknowledged."""
        state, spec = self.model.status.state, self.model.spec
        found = asked.asked(self._waiting.values(), state, spec, stepping=self._stepping)
        self.model.ask(found)
        return found

    # --- replies --------------------------------------------------------------------------------

    def absorb(self, reply: p.Reply) -> None:
        """Take in a reply; call from the screen's own thread."""
        if isinstance(reply, p.View):
            self._looking = False
            if self._lost:
                return
        self.model.absorb(reply)
        if isinstance(reply, p.Accepted | p.Refused | p.Moved):
            done = self._waiting.pop(reply.command, None)
            # A single step has no state of its own: it is under way until the run rests again.
            self._stepping |= isinstance(reply, p.Accepted) and isinstance(done, p.Run) and done.steps == 1
            then = self._next.pop(reply.command, None)
            if then is not None and not isinstance(reply, p.Refused):
                then()
        if isinstance(reply, p.Failed | p.Ended):
            self._waiting.clear()
            self._next.clear()
        if isinstance(reply, p.StateChanged | p.Moved | p.Failed | p.Ended | p.Ready):
            self._stepping = False
        if isinstance(reply, p.Event) and self.model.asked != Asked():
            self.show_asked()
        if isinstance(reply, p.Ended):
            self.was_training, self._lost = self._state == "running", reply.text
        if self._joining and isinstance(reply, p.Ready):
            self._joining = self._looking = False
        if isinstance(reply, p.StateChanged | p.Ready | p.Past):
            self._state = self.model.status.state
        if isinstance(reply, p.Moved) and self._state != "running":
            self._state = "paused"
        # The state that an accepted command brings about is only known from the event after it; a view may be older
        # than that event.
        told = isinstance(reply, p.Event | p.Past) and not isinstance(reply, p.Accepted)
        if told and not self._waiting:
            self._running = self._state == "running"

    @property
    def waiting(self) -> bool:
        """Whether commands are on their way."""
        return bool(self._waiting)

    @property
    def training(self) -> bool:
        return self.model.status.state == "running"

    def look(self, gauges: list[str], sample: int) -> None:
        """Ask for a view, unless one is on its way or there is no run yet."""
        if self._looking or self._lost or self.model.info is None:
            return
        self._looking = True
        self._link.send(self.model.look(gauges, sample))


class FramePacer:
    """Spaces frames so that drawing takes no more than a share of the screen thread's time.

    The cost of a frame is the CPU time of the calling thread since the last one, so it covers
    everything the screen does, and a wasteful terminal or pane slows the frames, never the training.
    """

    def __init__(self, period: float, longest: float = 2.0) -> None:
        """Aim at a frame each `period` seconds."""
        self._least, self._longest = period, longest
        self.period = period
        self._wall, self._cpu = time.monotonic(), time.thread_time()

    def next_delay(self, share: float) -> float:
        """Seconds until the next frame, within `share` of one core; call once per frame, from the screen's thread."""
        wall, cpu = time.monotonic(), time.thread_time()
        elapsed, used = wall - self._wall, cpu - self._cpu
        self._wall, self._cpu = wall, cpu
        if elapsed > 0:
            wanted = used / share
            # A single slow frame (a resize, a dialog) must not freeze the screen, so move halfway.
            self.period = min(self._longest, max(self._least, (self.period + wanted) / 2))
        return self.period
