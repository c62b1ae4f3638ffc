"""What can't be exported, in one sentence."""


class ExportError(ValueError):
    """An export that can't be made; the message is one sentence with the way out."""
