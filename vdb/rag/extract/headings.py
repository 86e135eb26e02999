"""The path of headings that a block stands under."""

__all__ = ["HeadingPath", "shortened"]

_MAX_CHARACTERS = 200
"""Of a heading or a title, which go into payloads: what is longer ends with an ellipsis."""


class HeadingPath:
    """Headings by level, as a reader goes through a document. `title` is the first one of level 1."""

    def __init__(self) -> None:
        self.title: str | None = None
        self._levels: list[tuple[int, str]] = []

    def enter(self, level: int, heading: str) -> tuple[str, ...]:
        """The path at a heading, itself included; one without text ends those of its level and below."""
        if level == 1 and self.title is None:
            self.title = heading or None
        self._levels = [(above, text) for above, text in self._levels if above < level]
        if heading:
            self._levels.append((level, heading))
        return tuple(text for _, text in self._levels)


def shortened(text: str) -> str:
    """One line of at most 200 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_CHARACTERS else line[: _MAX_CHARACTERS - 1].rstrip() + "…"
