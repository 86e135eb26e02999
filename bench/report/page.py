"""The generated part of docs/benchmarks.md with its drawings: made, compared with what is there, written."""

from pathlib import Path
from typing import NamedTuple

from bench.report import measured, races, replays, tenancy
from bench.report.rows import Row, last_by, race_names, rows_of

__all__ = ["BEGIN", "END", "Page", "differences", "page", "write"]

BEGIN, END = "<!-- report -->", "<!-- /report -->"
_INTRO = """## Drawn from the last rows

`python -m bench report` writes this part from `bench/results`; nothing here is typed. Of each race and data set the
row with the most contenders counts, the last of them, so all that stands in one table or chart is of one run on one
machine, contenders in turns; a newer one of fewer stands below it. A cost is CPU per query, read off the line between
the settings around a recall. As the cheapest of many settings are those that were lucky, each repetition chooses
settings, and their costs are read from the others, the least of each, for what disturbs a measurement only adds to
it; the median stands, with ≤ where even the fastest setting finds more. QPS is its reciprocal, per CPU second. `to
ours` is the cost over ours: above 1 ours is cheaper. Spread is over the repetitions; it, latencies and parameters are
of the cheapest setting with recall .95 or more. RAM is anonymous memory, what no file backs; resident, after a
restart and a pass over all queries, counts pages of mapped files, too, which the system may take back: ours and some
peers compare vectors in such. CPU ranks, not the clock, which neighbours on a machine disturb more. Verdicts on bars
are as the race told them."""


class Page(NamedTuple):
    """What the results give: the text between the marks, and drawings by file name."""

    text: str
    drawings: dict[str, str]


def page(results: Path) -> Page:
    """The page of a folder of results; says so where there is none to show."""
    parts: list[str] = [_INTRO]
    drawings: dict[str, str] = {}
    for race in race_names(results):
        rows = rows_of(results, f"race-{race}")
        raced = list(filter(_is_race, rows))
        newest = last_by(raced, _data_set)
        for name, row in last_by(sorted(raced, key=_n_asked), _data_set).items():
            text, drawn = races.section(race, row)
            parts.append(text)
            drawings |= drawn
            if newest[name] is not row:
                parts.append(races.later(race, newest[name]))
        plain = [row for row in rows if not _is_race(row) and not _is_of_tenants(row)]
        parts += [measured.section(race, row) for row in last_by(plain, measured.part_of).values()]
    every = rows_of(results, "tenants") + rows_of(results, "race-tenants")
    of_tenants = tenancy.section(last_by(sorted(filter(_is_of_tenants, every), key=_date), _workload))
    for text, drawn in (of_tenants, replays.section(last_by(rows_of(results, "replay"), replays.name_of))):
        drawings |= drawn
        if text:
            parts.append(text)
    if len(parts) == 1:
        parts.append("There are no rows yet.")
    return Page("\n\n".join(parts), drawings)


def differences(results: Path, docs: Path) -> list[str]:
    """Names of files that are not what the results give, drawings that nothing asks for among them."""
    made, folder = page(results), docs / "figures"
    names = {"benchmarks.md"} if _document(docs) != _filled(_document(docs), made.text) else set()
    names |= {name for name, text in made.drawings.items() if _text(folder / name) != text}
    names |= {path.name for path in folder.glob("*.svg") if path.name not in made.drawings}
    return sorted(names)


def write(results: Path, docs: Path) -> None:
    """Write document and drawings; drawings that no row gives any more are removed."""
    made, folder = page(results), docs / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.svg"):
        if path.name not in made.drawings:
            path.unlink()
    for name, text in made.drawings.items():
        (folder / name).write_text(text, encoding="utf-8")
    filled = _filled(_document(docs), made.text)
    (docs / "benchmarks.md").write_text(filled, encoding="utf-8")


def _filled(document: str, text: str) -> str:
    """The document with the text between its marks. Raises ValueError where it has not one of each, in order."""
    if document.count(BEGIN) != 1 or document.count(END) != 1 or document.index(BEGIN) > document.index(END):
        raise ValueError(f"docs/benchmarks.md needs the lines {BEGIN} and {END}, once each")
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def _document(docs: Path) -> str:
    return (docs / "benchmarks.md").read_text(encoding="utf-8")


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _is_race(row: Row) -> bool:
    return "data set" in row["figures"] and "contenders" in row["figures"]


def _is_of_tenants(row: Row) -> bool:
    return "workload" in row["figures"] and "contenders" in row["figures"]


def _n_asked(row: Row) -> int:
    """How many were to take part: a race of a few says nothing of the others, and does not replace one of all."""
    return len(row["figures"]["contenders"]) + len(row["figures"].get("left out", {}))


def _date(row: Row) -> str:
    return str(row["date"])


def _data_set(row: Row) -> str:
    return str(row["figures"]["data set"]["name"])


def _workload(row: Row) -> str:
    return str(row["figures"]["workload"]["name"])
