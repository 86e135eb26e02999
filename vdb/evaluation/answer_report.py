"""The report of an evaluation of answers: tables as Markdown and HTML, and the curve of the threshold."""

import io
from pathlib import Path

from vdb.evaluation.answers import AnswersEvaluation
from vdb.evaluation.extras import library
from vdb.evaluation.report import Rows, html_of, markdown_of, write_files

MEANS = {
    "exact": "exact",
    "f1": "F1 of words",
    "in_first": "answer in the first sentence",
    "in_answer": "answer in any sentence",
    "cited": "first sentence cites what is relevant",
    "decided": "rightly found or not found",
    "lost": "answerable, not found",
    "refused": "unanswerable, not found",
}


def write_answers_report(folder: Path, evaluation: AnswersEvaluation) -> list[Path]:
    """Write `report.md`, `report.html` and `plot.svg` into a folder, made if it is missing; the files."""
    title = f"Answers of {evaluation.collection}"
    summary = (
        f"{evaluation.n_answerable} answerable questions, {evaluation.n_unanswerable} others; backend "
        f"{evaluation.backend}; threshold {evaluation.threshold:g}; relevant names a {evaluation.by}."
    )
    svg = _picture(evaluation)
    tables = _tables(evaluation)
    return write_files(
        folder,
        {
            "report.md": markdown_of(title, summary, tables, "not found by threshold"),
            "report.html": html_of(title, summary, tables, svg),
            "plot.svg": svg,
        },
    )


def _tables(evaluation: AnswersEvaluation) -> list[tuple[str, Rows]]:
    rows = [["what", "share"]]
    rows += [[what, f"{evaluation.means[name]:.4f}"] for name, what in MEANS.items() if name in evaluation.means]
    tables = [("Answers", rows)]
    curve = [["threshold", MEANS["lost"], MEANS["refused"]]]
    curve += [[f"{at:.2f}", _share(lost), _share(refused)] for at, lost, refused in evaluation.curve]
    tables.append(("Threshold", curve))
    if evaluation.tenants:
        names = [name for name in MEANS if name in evaluation.means]
        own = [["tenant", *(MEANS[name] for name in names)]]
        own += [
            [tenant or "(of the key)", *(_share(figures.get(name)) for name in names)]
            for tenant, figures in evaluation.tenants.items()
        ]
        tables.append(("Tenants", own))
    return tables


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _picture(evaluation: AnswersEvaluation) -> str:
    """What each threshold loses and refuses, and the one that holds. The same bytes for the same numbers."""
    matplotlib = library("matplotlib", "the picture of a report")
    figures = library("matplotlib.figure", "the picture of a report")
    with matplotlib.rc_context({"svg.hashsalt": "vdb", "font.size": 9, "text.parse_math": False}):
        figure = figures.Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        for place, name, colour in ((1, "lost", "#ee6677"), (2, "refused", "#4477aa")):
            points = [(row[0], row[place]) for row in evaluation.curve if row[place] is not None]
            if points:
                axes.plot(*zip(*points, strict=True), label=MEANS[name], color=colour)
        axes.axvline(evaluation.threshold, color="#bbbbbb", label=f"threshold {evaluation.threshold:g}")
        axes.set(xlabel="threshold", ylabel="share", xlim=(0, 1), ylim=(0, 1))
        axes.grid(alpha=0.3)
        axes.legend()
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    return text[text.index("<svg") :]
