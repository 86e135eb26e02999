"""The picture of a report, as SVG: metrics of every run, and recall by depth. The same bytes for the same numbers."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from vdb.evaluation.extras import library
from vdb.evaluation.measures import Measured

_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")


def picture(systems: Sequence[Measured], metrics: Sequence[str], recall_by_depth: Mapping[str, Sequence[float]]) -> str:
    """SVG text; InvalidArgument where matplotlib is missing."""
    matplotlib = library("matplotlib", "the picture of a report")
    figures = library("matplotlib.figure", "the picture of a report")
    with matplotlib.rc_context({"svg.hashsalt": "vdb", "font.size": 9, "text.parse_math": False}):
        figure = figures.Figure(figsize=(10, 4), layout="constrained")
        bars, lines = figure.subplots(1, 2)
        _draw_bars(bars, systems, metrics)
        for number, (name, recall) in enumerate(recall_by_depth.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            lines.plot(range(1, len(recall) + 1), recall, label=name, color=colour)
        lines.set(xlabel="depth", ylabel="recall", xscale="log", ylim=(0, 1))
        lines.grid(alpha=0.3)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    return text[text.index("<svg") :]


def _draw_bars(axes: Any, systems: Sequence[Measured], metrics: Sequence[str]) -> None:
    width = 0.8 / max(len(systems), 1)
    for number, system in enumerate(systems):
        places = [metric + (number + 0.5) * width - 0.4 for metric in range(len(metrics))]
        heights = [system.means[metric] for metric in metrics]
        axes.bar(places, heights, width, label=system.name, color=_COLOURS[number % len(_COLOURS)])
    axes.set(xticks=range(len(metrics)), xticklabels=list(metrics), ylim=(0, 1))
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
