"""The charts of the report: one line per contender over two axes, over classes of tenants, and bars of latencies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report.scales import Scale, logarithmic
from bench.report.svg import INK, MUTED, PALETTE, Drawing

__all__ = ["Legend", "bars", "curves", "steps"]

_WIDTH, _HEIGHT = 820, 420
_LEFT, _TOP, _RIGHT, _BOTTOM = 76, 44, 552, 336
_Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Legend:
    """The words of a chart: title, axes with their units, and the small print on where its numbers come from."""

    title: str
    across: str
    up: str
    small_print: str


def curves(legend: Legend, lines: Mapping[str, _Points], across: Scale) -> str:
    """A line through the points of each name, x on the scale `across`, y logarithmic; SVG. One may have no points."""
    values = [y for points in lines.values() for _, y in points]
    up = logarithmic(values) if values else logarithmic((1, 10))
    drawing = _framed(legend, list(lines), up)
    for value, label in across.ticks:
        x = _LEFT + across.share(value) * (_RIGHT - _LEFT)
        drawing.line(x, _TOP, x, _BOTTOM)
        drawing.words(x, _BOTTOM + 16, label, size=11, colour=MUTED, anchor="middle")
    placed = {
        name: [(_LEFT + across.share(x) * (_RIGHT - _LEFT), _height(up, y)) for x, y in points]
        for name, points in lines.items()
    }
    _lines(drawing, placed)
    return drawing.text()


def steps(legend: Legend, lines: Mapping[str, Mapping[str, float]], classes: Sequence[str]) -> str:
    """A line over classes for each name, y logarithmic, with a gap where a class has no value; SVG."""
    values = [value for line in lines.values() for value in line.values()]
    up = logarithmic(values) if values else logarithmic((1, 10))
    drawing = _framed(legend, list(lines), up)
    at = {name: _LEFT + (i + 0.5) / len(classes) * (_RIGHT - _LEFT) for i, name in enumerate(classes)}
    for name, x in at.items():
        drawing.line(x, _TOP, x, _BOTTOM)
        drawing.words(x, _BOTTOM + 16, name, size=11, colour=MUTED, anchor="middle")
    placed = {
        name: [(at[one], _height(up, line[one])) for one in classes if one in line] for name, line in lines.items()
    }
    _lines(drawing, placed)
    return drawing.text()


def bars(legend: Legend, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Beside each name one bar for each of its values, from zero, each with its number; SVG."""
    n_bars = sum(len(values) for values in groups.values())
    height = _TOP + 17 * n_bars + 12 * len(groups) + 84
    drawing = Drawing(_WIDTH, height, legend.title, _described(legend, list(groups)))
    drawing.words(20, 26, legend.title, size=15, is_bold=True)
    left, right = 210, _WIDTH - 90
    longest = max((value for values in groups.values() for value in values.values()), default=1.0)
    y = float(_TOP)
    for i, (name, values) in enumerate(groups.items()):
        drawing.words(20, y + 17 * (len(values) / 2) + 4, name, size=12, is_bold=i == 0)
        for label, value in values.items():
            drawing.words(left - 8, y + 12, label, size=11, colour=MUTED, anchor="end")
            width = value / longest * (right - left)
            drawing.bar(left, y + 1, width, 14, _colour(i))
            drawing.words(left + width + 6, y + 12, f"{value:,.0f}" if value >= 100 else f"{value:.3g}", size=11)
            y += 17
        y += 12
    drawing.line(left, _TOP - 4, left, y - 4, INK)
    drawing.words(left, y + 14, legend.across, size=12)
    drawing.words(20, height - 14, legend.small_print, size=10, colour=MUTED)
    return drawing.text()


def _framed(legend: Legend, names: Sequence[str], up: Scale) -> Drawing:
    drawing = Drawing(_WIDTH, _HEIGHT, legend.title, _described(legend, names))
    drawing.words(20, 26, legend.title, size=15, is_bold=True)
    for value, label in up.ticks:
        y = _height(up, value)
        drawing.line(_LEFT, y, _RIGHT, y)
        drawing.words(_LEFT - 8, y + 4, label, size=11, colour=MUTED, anchor="end")
    drawing.words((_LEFT + _RIGHT) / 2, _BOTTOM + 38, legend.across, size=12, anchor="middle")
    drawing.words(20, (_TOP + _BOTTOM) / 2, legend.up, size=12, anchor="middle", turn=-90)
    drawing.words(20, _HEIGHT - 14, legend.small_print, size=10, colour=MUTED)
    return drawing


def _lines(drawing: Drawing, placed: Mapping[str, _Points]) -> None:
    """All lines, the first on top, and beside the chart what each is."""
    drawing.line(_LEFT, _TOP, _LEFT, _BOTTOM, INK)
    drawing.line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, INK)
    for i, (name, points) in reversed(list(enumerate(placed.items()))):
        colour, y = _colour(i), _TOP + 12 + 20 * i
        if len(points) > 1:
            drawing.curve(points, colour, 2.6 if i == 0 else 1.8)
        for x, up in points:
            drawing.mark(x, up, i, colour)
        drawing.line(_RIGHT + 18, y - 4, _RIGHT + 42, y - 4, colour, 2)
        drawing.mark(_RIGHT + 30, y - 4, i, colour)
        said = name if points else f"{name} (no figure)"
        drawing.words(_RIGHT + 48, y, said, size=12, is_bold=i == 0)


def _height(up: Scale, value: float) -> float:
    return _BOTTOM - up.share(value) * (_BOTTOM - _TOP)


def _colour(i: int) -> str:
    return PALETTE[i % len(PALETTE)]


def _described(legend: Legend, names: Sequence[str]) -> str:
    axes = f"{legend.up} against {legend.across}" if legend.up else legend.across
    return f"{axes}, of {', '.join(names)}. {legend.small_print}"
