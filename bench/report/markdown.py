"""Pieces of Markdown: tables, pictures, numbers; what comes from results is escaped."""

from collections.abc import Sequence

__all__ = ["cell", "image", "plain", "table"]

_SPECIAL = str.maketrans({one: f"\\{one}" for one in "\\`*_|<>[]"})


def plain(text: str) -> str:
    """Text of a result as it is to be read, with nothing in it taken for Markdown or HTML, in one line."""
    return " ".join(text.split()).translate(_SPECIAL)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table; the first column is text, the others stand to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines))


def image(name: str, said: str) -> str:
    """A drawing of docs/figures, with what it shows for those who do not see it."""
    return f"![{plain(said)}](figures/{name})"


def cell(value: float | None) -> str:
    """A number with three digits that count, or a dash."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
