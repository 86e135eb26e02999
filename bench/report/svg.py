"""Text of an SVG drawing: lines, shapes and words, in pixels from the upper left.

Written here and not by a plotting package: three kinds of charts need a few elements only, the bytes must depend on the
numbers alone (a package's drawings change with its release, with fonts and with random ids), and no one who runs the
benchmarks should have to install one. A drawing has a background of its own, so that it reads on light and dark pages,
and a title and a description for those who do not see it.
"""

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

__all__ = ["GRID", "INK", "MUTED", "PALETTE", "PAPER", "Drawing", "number"]

INK, MUTED, GRID, PAPER = "#1f2933", "#5c6773", "#e3e7eb", "#ffffff"
PALETTE = ("#c4351c", "#0072b2", "#009e73", "#9a4d8e", "#b8860b", "#3f4a55", "#2a9fd6", "#7a5230", "#6b8e23", "#8c8c8c")
"""The first is ours. All are told apart by their marks too: colour is never all there is."""
_FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
_MARKS = ("circle", "square", "triangle", "diamond", "cross")


def number(value: float) -> str:
    """A coordinate: two digits after the point at most, no minus before zero."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


class Drawing:
    """Collects elements; `text()` is the file. `width` and `height` in pixels."""

    def __init__(self, width: int, height: int, title: str, description: str) -> None:
        self._head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            f' role="img" aria-labelledby="title description" font-family="{_FONT}">\n'
            f'<title id="title">{escape(title)}</title>\n<desc id="description">{escape(description)}</desc>\n'
        )
        self._parts = [f'<rect width="{width}" height="{height}" rx="6" fill="{PAPER}"/>']

    def text(self) -> str:
        """The whole file, ended by a line break."""
        return self._head + "\n".join(self._parts) + "\n</svg>\n"

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = GRID, width: float = 1) -> None:
        """A straight line."""
        ends = " ".join(f'{name}="{number(at)}"' for name, at in (("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)))
        self._parts.append(f"<line {ends} stroke={quoteattr(colour)} stroke-width={quoteattr(number(width))}/>")

    def curve(self, points: Sequence[tuple[float, float]], colour: str, width: float = 2) -> None:
        """A line through points, in their order."""
        through = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self._parts.append(
            f'<polyline points="{through}" fill="none" stroke={quoteattr(colour)} stroke-width="{number(width)}"'
            ' stroke-linejoin="round"/>'
        )

    def bar(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        self._parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
            f" fill={quoteattr(colour)}/>"
        )

    def mark(self, x: float, y: float, kind: int, colour: str) -> None:
        """A small shape around a point; `kind` counts through circle, square, triangle, diamond, cross."""
        name, r = _MARKS[kind % len(_MARKS)], 3.4
        if name == "circle":
            self._parts.append(f'<circle cx="{number(x)}" cy="{number(y)}" r="{r}" fill={quoteattr(colour)}/>')
            return
        corners = {
            "square": ((-r, -r), (r, -r), (r, r), (-r, r)),
            "triangle": ((0, -r - 1), (r + 0.6, r), (-r - 0.6, r)),
            "diamond": ((0, -r - 1), (r + 1, 0), (0, r + 1), (-r - 1, 0)),
            "cross": (
                (-4, -2), (-2, -4), (0, -2), (2, -4), (4, -2), (2, 0),
                (4, 2), (2, 4), (0, 2), (-2, 4), (-4, 2), (-2, 0),
            ),
        }[name]  # fmt: skip
        at = " ".join(f"{number(x + dx)},{number(y + dy)}" for dx, dy in corners)
        self._parts.append(f'<polygon points="{at}" fill={quoteattr(colour)}/>')

    def words(
        self, x: float, y: float, text: str, *, size: int = 12, colour: str = INK, anchor: str = "start", turn: int = 0,
        is_bold: bool = False,
    ) -> None:  # fmt: skip
        """A line of text whose base line starts, ends or is centred at (x, y); `turn` in degrees around there."""
        turned = f' transform="rotate({turn} {number(x)} {number(y)})"' if turn else ""
        weight = ' font-weight="600"' if is_bold else ""
        self._parts.append(
            f'<text x="{number(x)}" y="{number(y)}" font-size="{size}" fill={quoteattr(colour)}'
            f' text-anchor="{anchor}"{weight}{turned}>{escape(text)}</text>'
        )
