"""What is wrong with a spec, one sentence per field."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Problem:
    """One refused value: the field's path, what is wrong, and the sentence a user reads."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


class SpecError(ValueError):
    """Raised for bad values and unknown keys; `problems` has one entry per field."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def nearest(word: str, known: Iterable[str]) -> str:
    """A closing clause that names the known word closest to `word`, or lists the known ones."""
    known = list(known)
    folded = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), folded, n=1, cutoff=0.5)
    if close:
        return f"did you mean {folded[close[0]]}?"
    return f"known: {', '.join(known)}"
