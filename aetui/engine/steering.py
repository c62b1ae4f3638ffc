"""Exact steps on a number that is nudged up and down by keys."""

from dataclasses import dataclass

STEPS_PER_DECADE = 4


@dataclass
class Ladder:
    """Multiplies a number by 10 ** (1/4) per rung; going down undoes going up to the last digit."""

    anchor: float = 0.0
    rung: int = 0

    def moved(self, value: float, by: int) -> float:
        """`value` moved `by` rungs; a value set by other means starts a ladder of its own."""
        if value != self._at(self.rung):
            self.anchor, self.rung = value, 0
        self.rung += by
        return self._at(self.rung)

    def _at(self, rung: int) -> float:
        if rung == 0:
            return self.anchor
        return float(f"{self.anchor * 10 ** (rung / STEPS_PER_DECADE):.6g}")
