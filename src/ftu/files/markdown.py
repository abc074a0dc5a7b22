"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """The lines of a table; a bar in a cell is escaped."""
    head, *body = (" | ".join(str(cell).replace("|", r"\|") for cell in row) for row in (columns, *rows))
    return [f"| {head} |", "|" + "---|" * len(columns), *(f"| {row} |" for row in body)]
