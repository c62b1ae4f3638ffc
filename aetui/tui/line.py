"""How much may be under way on the line to the terminal, from how long the terminal takes to answer.

After each piece that it draws the screen asks the terminal for its cursor's position, and the answer tells that it has
arrived. The answer takes the round trip and the time that the piece waited behind others; only so much is sent ahead
that this wait stays about `QUEUE`. Nothing here knows terminals or widgets; `now` is any clock in seconds.
"""

from math import inf

QUEUE = 0.1
"""Seconds that what is sent may wait on the line."""
LEAST, FIRST, MOST = 800.0, 2000.0, 262_144.0
"""Bytes under way: at least, at first, at most."""
URGENT = 600.0
"""Bytes besides for what a key has changed."""
SILENCE = 1.0
"""Seconds after which a terminal that has never answered is taken for one that does not."""
_LOST = 3.0
"""Seconds, at least, after which an answer is taken as lost."""
_MEMORY = 20.0
"""Seconds for which the least round trip is remembered: a line may change."""

Place = tuple[int, int]


class Line:
    """The pieces under way, and the window for them."""

    def __init__(self) -> None:
        self.window = FIRST
        self.took = 0.0
        """Seconds that the last picture took to arrive."""
        self.idle = True
        """Whether all that is drawn has arrived."""
        self.answers: bool | None = None
        """Whether the terminal answers; None while that is not known."""
        self.round_trip = 0.0
        self._sent: dict[Place, tuple[float, float]] = {}
        self._former: set[Place] = set()
        """Places whose answers were given up, and may come yet."""
        self._asked: float | None = None
        self._least = [(0.0, inf), (0.0, inf)]
        self._began = 0.0

    @property
    def under_way(self) -> float:
        """Bytes that have not been answered."""
        return sum(size for _, size in self._sent.values())

    @property
    def asks(self) -> bool:
        """Whether a piece should end with the question."""
        return self.answers is not False

    def room(self, urgent: bool = False) -> float:
        """Bytes that may be sent now."""
        if self.answers is False:
            return inf
        return self.window + URGENT * urgent - self.under_way

    def sent(self, place: Place, size: float, now: float) -> None:
        """A piece of `size` bytes is under way that will be answered with `place`."""
        self._sent[place] = now, size
        self._former.discard(place)
        if self._asked is None:
            self._asked = now

    def answered(self, place: Place, now: float, more: bool) -> bool:
        """Take in an answer; whether it is one. more: something waited for room."""
        if place not in self._sent:
            if place in self._former:
                self._former.clear()
                self.answers = True
                return True
            return False
        self.answers = True
        began, _ = self._sent[place]
        # Answers come in order: one that is missing was lost.
        for earlier in list(self._sent):
            del self._sent[earlier]
            if earlier == place:
                break
        self._measure(now - began, now, more)
        return True

    def _measure(self, took: float, now: float, more: bool) -> None:
        (since, least), (_, before) = self._least
        if now - since > _MEMORY:
            self._least = [(now, took), (since, least)]
        elif took < least:
            self._least[0] = since, took
        self.round_trip = min(self._least[0][1], before if self._least[1] else inf, least)
        spare = max(-2.0, (QUEUE - (took - self.round_trip)) / QUEUE)
        if spare < 0 or more:
            self.window = min(MOST, max(LEAST, self.window * (1 + 0.25 * spare)))

    def patience(self, now: float) -> float | None:
        """Seconds until the oldest answer is overdue; None where none is awaited."""
        if not self._sent:
            return None
        oldest = next(iter(self._sent.values()))[0]
        return max(0.0, oldest + self._limit - now)

    @property
    def _limit(self) -> float:
        return SILENCE if self.answers is None else max(_LOST, 4 * self.round_trip)

    def give_up(self, now: float) -> None:
        """Go on without answers that are overdue; a terminal that has never answered is not asked again."""
        if self.patience(now) == 0:
            self._former.update(self._sent)
            self._sent.clear()
            self.window = LEAST
            if self.answers is None:
                self.answers = False

    def renewed(self) -> None:
        """Another terminal may be at the other end now."""
        self._former.update(self._sent)
        self._sent.clear()
        self.answers, self._asked = None, None

    def drawing(self, pending: bool, now: float) -> None:
        """Take note whether anything is yet to be sent or to arrive."""
        busy = pending or bool(self._sent)
        if busy and self.idle:
            self._began = now
        elif not busy and not self.idle:
            self.took = now - self._began
        self.idle = not busy
