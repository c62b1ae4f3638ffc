"""What the first process of a training does so that all of them take a command between the same two steps.

Nothing is exchanged while nobody steers. A command has the first process ask all for the next place at which they can
stop; a thread of theirs answers, whatever their training is busy with. The last of these places is where all meet:
each stops when it comes there, takes what the first one has been told, and goes on when it says so. A place is a
number: twice the steps taken, and one more just before the next.
"""

from __future__ import annotations

import json
import math
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from aetui.training.interface import Checkpoint
from aetui.watching.ranks import Mailbox, Place, RanksError

ANSWER, OBEY = 10.0, 120.0
"""Seconds within which a process answers, and within which it has put a change in force."""
STEPS, LEAST = 10.0, 10.0
"""Steps, and seconds at least, within which a process has to come to the place where all meet."""
BEAT = 2.0
_COMES = 10.0
"""Seconds from the first command on within which all processes have to be there."""
_MOMENT, _PATIENT, _REST = 0.1, 3, 10.0
"""Seconds that losses are waited for, times that they may be late in a row, and seconds that nobody is asked then."""
_PIECE = 2**26
"""Bytes of a state that are sent at a time."""


class Leader:
    """The meetings of the first process with the others."""

    def __init__(self, place: Place, mail: Mailbox, about: Mapping[str, Any], note: Callable[[str], None]) -> None:
        """about: what has to be the same in all processes. note: a warning for the journal."""
        self._others = range(1, place.world)
        self._mail, self._about, self._note = mail, dict(about), note
        self._sent = 0
        self._posting = threading.Lock()
        self._slow, self._unread = 0, list[str]()
        self._ask_again = self._wanted = 0.0
        """When losses may be asked for again, and when a meeting was wanted first."""
        self._known: set[int] = set()
        self._meet: int | None = None
        """The place where all meet next."""
        self._id = 0
        """The message that this meeting was called by, or announced."""
        self._called = self._together = False
        self._dropped = 0
        self._beating = threading.Event()
        self._last, self._pace = time.monotonic(), 0.0

    # --- a meeting ------------------------------------------------------------------------------

    def at(self, place: int, wanted: bool, odd: bool) -> bool:
        """The training is at a place; whether all are, and wait for what is to be done.

        Args:
            wanted: whether there is something to be done.
            odd: whether the place to meet is to be one just before a step.

        Raises:
            RanksError: not all take part; nobody waits any more, one sentence.
        """
        self._note_pace()
        if wanted and not self._called and place % 2 == odd and self._all_there():
            self._call(place, odd)
        if self._meet is None or place < self._meet:
            return False
        self._gather(place)
        return True

    def _note_pace(self) -> None:
        now = time.monotonic()
        self._last, self._pace = now, max(now - self._last, 0.8 * self._pace)

    def near(self, place: int) -> bool:
        """Whether a meeting is at the present step."""
        return self._meet is not None and self._meet // 2 <= place // 2

    def _all_there(self) -> bool:
        """Whether all of the others have said that they are there; some may find their model a little later.

        Raises:
            RanksError: they had time enough.
        """
        self._wanted = self._wanted or time.monotonic()
        try:
            self._check_known()
        except RanksError:
            if time.monotonic() - self._wanted > _COMES:
                raise
            return False
        return True

    def _call(self, place: int, odd: bool) -> None:
        scheduled = self._meet
        asked = self._post("meet")
        try:
            answers = self._answers(asked, ANSWER, "does not answer")
            for rank, answer in zip(self._others, answers, strict=True):
                if answer["gone"]:
                    raise RanksError(f"rank {rank} is not watched any more: {answer['gone']}")
        except BaseException:
            self._post("cancel", id=asked, next=scheduled)
            raise
        at = max(place, *(answer["place"] for answer in answers))
        self._meet, self._id, self._called = at + (at % 2 != odd), asked, True
        self._post("at", id=asked, place=self._meet)

    def _check_known(self) -> None:
        for rank in self._others:
            if rank in self._known:
                continue
            if not self._mail.has(f"hello/{rank}"):
                raise RanksError(
                    f"rank {rank} is not watched, so that nothing can be changed here alone; "
                    "aetui.watch(...) has to be called in every process"
                )
            theirs = self._mail.read(f"hello/{rank}")
            for what, mine in self._about.items():
                if theirs.get(what) != mine:
                    raise RanksError(f"rank {rank} has {what} {theirs.get(what)}, and rank 0 has {mine}")
            self._known.add(rank)

    def know(self) -> bool:
        """Whether all of the others have said that they are there."""
        with suppress(RanksError):
            self._check_known()
        return len(self._known) == len(self._others)

    def _gather(self, place: int) -> None:
        self._together = True
        self._post("here", id=self._id)
        names = [f"at/{rank}/{self._id}" for rank in self._others]
        try:
            arrived = self._mail.collect(
                names,
                max(LEAST, STEPS * self._pace),
                lambda name: f"rank {name.split('/')[1]} does not step as rank 0 does",
            )
            odd = next((one for one in arrived if one["place"] != place), None)
            if odd is not None:
                raise RanksError("the processes do not take the same steps")
        except BaseException:
            self._post("cancel", id=self._id, next=None)
            self._part(None)
            raise
        self._beating = threading.Event()
        threading.Thread(target=self._beat, args=(self._beating,), name="aetui ranks", daemon=True).start()

    def _beat(self, over: threading.Event) -> None:
        with suppress(RuntimeError):
            while not over.wait(BEAT):
                self._mail.beat()

    def go_on(self, then: int | None, *, interrupt: str | None = None, over: bool = False) -> None:
        """Have all go on.

        Args:
            then: the place to meet at next, None where that is not known yet.
            interrupt: what KeyboardInterrupt is raised with, as in this process; None for none.
            over: the watching has ended.
        """
        more = {"interrupt": interrupt is not None, "text": interrupt or "", "over": over}
        self._id = self._post("go", id=self._id, next=then, **more)
        self._part(then)

    def _part(self, then: int | None) -> None:
        self._meet, self._called, self._together = then, False, False
        self._beating.set()
        # The time that the others were waited for is none that a step takes.
        self._last = time.monotonic()

    def give_up(self) -> None:
        """No meeting that was called will be held."""
        with suppress(RuntimeError):
            self._post("cancel", id=self._id, next=None)
        self._part(None)

    def close(self) -> None:
        """Nothing will be asked any more."""
        self._part(None)
        with suppress(RuntimeError):
            self._post("end")

    # --- what all do together -------------------------------------------------------------------

    def put_in_force(self, changes: Mapping[str, str], table: Mapping[str, str]) -> None:
        """Have the others put in force what this process just has, and see that they did.

        Args:
            table: the settings here, now.
        """
        if not self._together:
            return
        sent = self._post("set", id=self._id, changes=dict(changes))
        try:
            self._compare(self._answers(sent, OBEY, "does not say whether it has taken it"), table)
        except RanksError as error:
            self._note(str(error))

    def _compare(self, answers: list[Any], table: Mapping[str, str]) -> None:
        for rank, answer in zip(self._others, answers, strict=True):
            if answer["error"]:
                self._note(f"rank {rank} has not taken it: {answer['error']}")
                continue
            odd = [path for path, mine in table.items() if answer["table"].get(path) != mine]
            if odd or len(answer["table"]) != len(table):
                path = odd[0] if odd else next(path for path in answer["table"] if path not in table)
                self._note(f"rank {rank} has {path} {answer['table'].get(path)}, and rank 0 has {table.get(path)}")

    def differing(self, module: nn.Module) -> str:
        """Why the state of this process is not that of all, '' where it is; a sentence."""
        if not self._together:
            return ""
        mine = checksum(module)
        answers = self._answers(self._post("weigh", id=self._id), OBEY, "does not answer")
        for rank, answer in zip(self._others, answers, strict=True):
            if answer["sum"] != mine:
                return f"rank {rank} has other weights than rank 0, so that a state of rank 0 can't be put back in all"
        return ""

    def restore(self, checkpoint: Checkpoint, device: torch.device) -> None:
        """Have the others put back a state that this process is about to put back."""
        if not self._together:
            return
        layout = [
            [name, str(one.dtype).removeprefix("torch."), list(one.shape)] for name, one in checkpoint.tensors.items()
        ]
        sent = self._post("restore", id=self._id, plain=json.dumps(checkpoint.plain), layout=layout)
        for tensor in checkpoint.tensors.values():
            for piece in pieces(tensor):
                dist.broadcast(piece.to(device), 0)
        for rank, answer in zip(self._others, self._answers(sent, OBEY, "has not taken the state"), strict=True):
            if answer["error"]:
                self._note(f"rank {rank} has not taken the state: {answer['error']}")

    def losses(self, first: int, count: int) -> list[np.ndarray]:
        """Loss and total of some steps in each of the other processes, [2, count]; NaN where it has none.

        From any thread. Who has not answered in a moment is not waited for, and not asked for a while after some times.
        """
        if time.monotonic() < self._ask_again or not self.know():
            return []
        for name in self._unread:
            self._mail.drop(name)
        sent = self._post("losses", first=first, count=count)
        self._unread = [f"in/{rank}/{sent}" for rank in self._others]
        try:
            answers = self._mail.collect(self._unread, _MOMENT, lambda name: name)
        except RanksError:
            self._slow += 1
            if self._slow >= _PATIENT:
                self._slow, self._ask_again = 0, time.monotonic() + _REST
            # One that has come to its end has left its last ones.
            names = [f"last/{rank}" for rank in self._others]
            answers = [self._mail.read(name) for name in names] if self._mail.has(*names) else []
        else:
            self._slow, self._unread = 0, []
            self._forget(sent)
        return [cut(answer["first"], _unpacked(answer["rows"]), first, count) for answer in answers]

    # --- messages -------------------------------------------------------------------------------

    def _post(self, kind: str, **more: Any) -> int:
        with self._posting:
            self._sent = sent = self._sent + 1
            more.setdefault("id", sent)
            for rank in self._others:
                self._mail.post(f"out/{rank}/{sent}", {"kind": kind, **more})
        return sent

    def _answers(self, sent: int, seconds: float, does: str) -> list[Any]:
        names = [f"in/{rank}/{sent}" for rank in self._others]
        found = self._mail.collect(names, seconds, lambda name: f"rank {name.split('/')[1]} {does}")
        self._forget(sent)
        return found

    def _forget(self, answered: int) -> None:
        """Whoever has answered a message has read those before."""
        with self._posting:
            for number in range(self._dropped + 1, answered):
                for rank in self._others:
                    self._mail.drop(f"out/{rank}/{number}")
            self._dropped = max(self._dropped, answered - 1)


def _unpacked(rows: bytes) -> np.ndarray:
    return np.frombuffer(rows, np.float32).reshape(2, -1)


def cut(before: int, rows: np.ndarray, first: int, count: int) -> np.ndarray:
    """Of rows [2, steps] that so many steps were before, those of some steps, [2, count]; NaN where there are none."""
    found = np.full((2, count), np.nan, np.float32)
    start, end = max(first, before), min(first + count, before + rows.shape[1])
    if start < end:
        found[:, start - first : end - first] = rows[:, start - before : end - before]
    return found


def pieces(tensor: Tensor) -> Iterator[Tensor]:
    """The bytes of a contiguous tensor on the host, [bytes], some at a time."""
    flat = tensor.reshape(-1).view(torch.uint8) if tensor.numel() else tensor.new_empty(0, dtype=torch.uint8)
    yield from (flat[start : start + _PIECE] for start in range(0, len(flat), _PIECE))


def received(layout: list[Any], device: torch.device) -> dict[str, Tensor]:
    """What `Leader.restore` sends, in the order of `layout`: name, type and shape of each tensor."""
    tensors: dict[str, Tensor] = {}
    for name, kind, shape in layout:
        tensor = torch.empty(math.prod(shape), dtype=getattr(torch, kind))
        for piece in pieces(tensor):
            there = piece if device.type == "cpu" else torch.empty_like(piece, device=device)
            dist.broadcast(there, 0)
            if there is not piece:
                piece.copy_(there)
        tensors[name] = tensor.reshape(shape)
    return tensors


def checksum(module: nn.Module) -> int:
    """Of all weights; equal where all are, bit for bit."""
    total = 0
    for parameter in module.parameters():
        for piece in pieces(parameter.detach().to("cpu").contiguous()):
            total = zlib.crc32(piece.numpy().data, total)
    return total
