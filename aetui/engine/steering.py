"""Numbers that are nudged up and down by keys: exact steps, and which of them are one tweak."""

from dataclasses import dataclass

from aetui.protocol import NUDGE_ENDS

STEPS_PER_DECADE = 4
MOMENT = 1.0
"""Seconds between two moves by a key that is held, at most."""


@dataclass
class Ladder:
    """Multiplies a number by 10 ** (1/4) per rung; going down undoes going up to the last digit."""

    anchor: float = 0.0
    rung: int = 0

    def moved(self, value: float, by: int) -> float:
        """`value` moved `by` rungs, or as it is where that would lead past an end of NUDGE_ENDS.

        A value set by other means starts a ladder of its own, unless it is a rung of one that begins at a number of
        three digits: so an engine that goes on with a run goes on with its ladder.
        """
        if value != self._at(self.rung):
            self.anchor, self.rung = _origin(value)
        reached, (least, most) = self._at(self.rung + by), NUDGE_ENDS
        if (by < 0 and reached < least) or (by > 0 and reached > most):
            return value
        self.rung += by
        return reached

    def _at(self, rung: int) -> float:
        if rung == 0:
            return self.anchor
        return float(f"{self.anchor * 10 ** (rung / STEPS_PER_DECADE):.6g}")


def _origin(value: float) -> tuple[float, int]:
    """Anchor and rung of the ladder through `value` that begins at a number of three digits, else at `value` itself."""
    for rung in range(STEPS_PER_DECADE):
        anchor = float(f"{value * 10 ** (rung / STEPS_PER_DECADE):.3g}")
        if Ladder(anchor)._at(-rung) == value:
            return anchor, -rung
    return value, 0


@dataclass
class Hold:
    """Tells moves by a key that is held, which are one tweak, from moves one by one."""

    path: str = ""
    """The number that was moved last, '' where something else was asked for since."""
    time: float = 0.0
    step: int = 0

    def goes_on(self, path: str, time: float, step: int) -> bool:
        """Whether a move of `path` belongs to the one before: within a moment of it, or a step that takes longer."""
        return path == self.path and (time - self.time <= MOMENT or step - self.step <= 1)

    def note(self, path: str, time: float, step: int) -> None:
        """A move of `path` was put in force after `step` steps."""
        self.path, self.time, self.step = path, time, step

    def end(self) -> None:
        self.path = ""
