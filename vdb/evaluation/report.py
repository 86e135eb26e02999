"""The report of an evaluation: Markdown and HTML with the same tables, and the picture beside and within them.

Names come from files and collections: in HTML they are escaped, in Markdown what would end a cell is.
"""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from vdb.errors import InvalidArgument
from vdb.evaluation.evaluate import Evaluation
from vdb.evaluation.measures import Measured
from vdb.evaluation.plot import picture

Rows = list[list[str]]

STYLE = "body{font:14px sans-serif;max-width:70em;margin:2em auto}td,th{padding:.2em .8em;text-align:right}"
STYLE += "td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f4f4f4}"


def write_report(folder: Path, evaluation: Evaluation) -> list[Path]:
    """Write `report.md`, `report.html` and `plot.svg` into a folder, made if it is missing; the files."""
    svg = picture(evaluation.systems, evaluation.metrics, evaluation.recall_by_depth)
    return write_files(
        folder, {"report.md": markdown(evaluation), "report.html": html(evaluation, svg), "plot.svg": svg}
    )


def write_files(folder: Path, files: dict[str, str]) -> list[Path]:
    """Write texts by name into a folder; raises InvalidArgument where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise InvalidArgument(f"cannot write to {folder}: {exc.strerror or exc}") from exc
    return [folder / name for name in files]


def markdown(evaluation: Evaluation) -> str:
    """The report with a link to `plot.svg`."""
    return markdown_of(_title(evaluation), _summary(evaluation), _tables(evaluation), "metrics and recall by depth")


def markdown_of(title: str, summary: str, tables: Sequence[tuple[str, Rows]], picture_of: str) -> str:
    """A report of tables, whose first row is the heading of the columns, and of `plot.svg`."""
    parts = [f"# {_cell(title)}", summary]
    for heading, rows in tables:
        lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
        lines.insert(1, "|---" * len(rows[0]) + "|")
        parts += [f"## {_cell(heading)}", "\n".join(lines)]
    return "\n\n".join([*parts, f"![{picture_of}](plot.svg)"]) + "\n"


def html(evaluation: Evaluation, svg: str) -> str:
    """The report as one file that needs nothing else."""
    return html_of(_title(evaluation), _summary(evaluation), _tables(evaluation), svg)


def html_of(given_title: str, summary: str, tables: Sequence[tuple[str, Rows]], svg: str) -> str:
    """The same report as one file that needs nothing else."""
    title = escape(given_title)
    parts = [f"<h1>{title}</h1>", f"<p>{escape(summary)}</p>", svg]
    for heading, rows in tables:
        lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in rows[0]) + "</tr>"]
        lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:]]
        parts += [f"<h2>{escape(heading)}</h2>", f"<table>{''.join(lines)}</table>"]
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _title(evaluation: Evaluation) -> str:
    return f"Evaluation of {evaluation.collection}" if evaluation.collection else "Evaluation of runs"


def _summary(evaluation: Evaluation) -> str:
    text = f"{evaluation.n_queries} judged queries; judgements name a {evaluation.by}."
    if evaluation.n_without_judgements:
        text += f" {evaluation.n_without_judgements} queries without a relevant document are left out."
    return text


def _tables(evaluation: Evaluation) -> list[tuple[str, Rows]]:
    """Headings with their tables, whose first row is the heading of the columns."""
    tables = [("Runs", _of_systems(evaluation.metrics, evaluation.systems))]
    if evaluation.compared:
        rows = [["run", "beside", "metric", "difference", "standard error", "queries better", "worse"]]
        rows += [
            [
                one.name,
                one.against,
                one.metric,
                f"{one.difference:+.4f}",
                f"{one.standard_error:.4f}",
                str(one.n_better),
                str(one.n_worse),
            ]
            for one in evaluation.compared
        ]
        tables.append(("Beside the better leg", rows))
    if evaluation.learned is not None:
        learned = evaluation.learned
        rows = [["fusion", "weight", "kept", "queries", f"dense {learned.metric}", "sparse", "default", "learned"]]
        figures = (learned.dense, learned.sparse, learned.default, learned.learned)
        rows.append(
            [
                learned.fusion.kind,
                f"{learned.fusion.weight:g}",
                "yes" if learned.kept else "no",
                str(learned.n_queries),
                *(f"{figure:.4f}" for figure in figures),
            ]
        )
        tables.append(("Learned, on the queries that taught", rows))
    for tenant, systems in evaluation.tenants.items():
        tables.append((f"Tenant {tenant or '(of the key)'}", _of_systems(evaluation.metrics, systems)))
    return tables


def _of_systems(metrics: Sequence[str], systems: Sequence[Measured]) -> Rows:
    rows = [["run", "queries", *metrics]]
    return rows + [
        [system.name, str(system.n_queries), *(f"{system.means[metric]:.4f}" for metric in metrics)]
        for system in systems
    ]


def _cell(text: str) -> str:
    """Text that stays in its cell, and is no markup: control characters are left out, signs of Markdown are escaped."""
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", re.sub(r"[\x00-\x1f\x7f]", " ", text))
