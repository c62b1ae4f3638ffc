"""What is wrong with a model, in one sentence."""


class ModelError(ValueError):
    """A model that can't be built for this data; `path` is the setting at fault."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        super().__init__(f"{path}: {text}")


class ForwardError(RuntimeError):
    """A user's model that failed on a batch; the message is one sentence with file and line."""
