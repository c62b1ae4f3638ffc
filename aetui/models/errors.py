"""What is wrong with a model, in one sentence."""

_LONGEST = 2000
"""Characters of an error's own text that a sentence takes up."""


def message(error: BaseException) -> str:
    """What an error says, all its lines in one."""
    lines = "; ".join(filter(None, (line.strip() for line in str(error).splitlines()))).replace(":; ", ": ")
    return lines if len(lines) <= _LONGEST else f"{lines[:_LONGEST]}... (the log has it whole)"


def first_line(error: BaseException) -> str:
    """The kind of an error, and the first line of what it says."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


class ModelError(ValueError):
    """A model that can't be built for this data; `path` is the setting at fault."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        super().__init__(f"{path}: {text}")


class ForwardError(RuntimeError):
    """A user's model that failed on a batch; the message is one sentence with file and line."""
