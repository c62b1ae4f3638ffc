"""What is wrong with the data, in one sentence."""

import pickle
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from difflib import get_close_matches

DAMAGED = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError,
    TypeError, ValueError, pickle.UnpicklingError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What parsers of other libraries raise on damaged files."""


class DataError(ValueError):
    """Raised for data that can't be trained on; `path` is the setting at fault, such as "data.columns"."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def listed(words: Iterable[object], most: int = 6) -> str:
    """The words separated by commas, cut after `most` with the number left out."""
    texts = [str(word) for word in words]
    if len(texts) <= most:
        return ", ".join(texts)
    return f"{', '.join(texts[:most])} and {len(texts) - most} more"


def hint(word: str, known: Iterable[str]) -> str:
    """A closing clause that names the known word closest to `word`, or lists the known ones."""
    known = [str(name) for name in known]
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {listed(known)}" if known else "there are none"


def count(number: int, noun: str, plural: str = "") -> str:
    """`number` and its noun: 1 row, 2 rows."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def first_sentence(error: BaseException) -> str:
    """The first sentence of an exception's message, as a closing clause."""
    lines = str(error).strip().splitlines()
    text = lines[0].partition(". ")[0].rstrip(".") if lines else type(error).__name__
    return text if len(text) <= 160 else f"{text[:159]}…"
