"""Of load replay: latencies by size of the tenant, from the last row of each trace and world."""

from typing import Any

from bench.report.charts import Legend, bars
from bench.report.markdown import cell, image, plain, table
from bench.report.rows import Row, file_name, origin

__all__ = ["name_of", "section"]

_GROUPS = {
    "latency": "all requests",
    "largest tenant": "largest tenant",
    "middle tenth of tenants": "middle tenth",
    "smallest tenth of tenants": "smallest tenth",
}
"""Of figures, by what they are called here."""
_PERCENTILES = ("p50", "p95", "p99", "p99.9")
_SAID = (
    "requests", "offered", "completed", "timed out", "refused (429, 503)", "failed", "their p99, worst / median",
    "client late by, p99", "server CPU per answered request",
)  # fmt: skip
_Found = dict[str, Any]


def name_of(row: Row) -> str:
    """What a row replays: trace, number of tenants, data set."""
    world = row["figures"]["world"]
    return f"{row['figures']['trace']['source']}, {world['tenants']} tenants of {world['data set']}"


def section(rows: dict[str, Row]) -> tuple[str, dict[str, str]]:
    """The Markdown of all replays with a drawing of each; empty without rows."""
    parts: list[str] = []
    drawings: dict[str, str] = {}
    for name, row in rows.items():
        groups = _groups(row["figures"])
        parts += [f"### Load replay: {plain(name)}", f"{origin(row)}.", f"    {row['command']}"]
        if groups:
            stem = f"replay-{file_name(name)}.svg"
            legend = Legend(f"load replay: {name}", "ms from the moment a request was due", "", origin(row))
            drawings[stem] = bars(legend, groups)
            parts.append(image(stem, f"Latency by size of the tenant, {name}"))
            lines = [[group, *(cell(values.get(one)) for one in _PERCENTILES)] for group, values in groups.items()]
            parts.append(table(["ms", *_PERCENTILES], lines))
        said = [f"{key} {_value(row['figures'][key])}" for key in _SAID if key in row["figures"]]
        parts.append(plain("; ".join(said)) + "." if said else "")
    return "\n\n".join(part for part in parts if part), drawings


def _groups(figures: _Found) -> dict[str, dict[str, float]]:
    groups = {
        said: {one: figures[f"{name}, {one}"]["value"] for one in _PERCENTILES if f"{name}, {one}" in figures}
        for name, said in _GROUPS.items()
    }
    return {said: values for said, values in groups.items() if values}


def _value(figure: _Found) -> str:
    return f"{cell(figure['value'])} {figure['unit']}".strip()
