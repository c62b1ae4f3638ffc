"""Tables of text on standard output."""

from collections.abc import Collection, Sequence


def columns(table: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest; those in `right` end together."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join(
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
