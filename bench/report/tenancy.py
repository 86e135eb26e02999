"""Of many tenants: CPU per query by the size of the tenant that asks, from the last row of each workload."""

from typing import Any

from bench.report.charts import Legend, steps
from bench.report.markdown import cell, image, plain, table
from bench.report.rows import Row, origin

__all__ = ["TARGET", "section"]

TARGET = "0.95"
_OURS = "ours"
_LEAST_CLASSES = 2
_INTRO = f"""One tenant among many asks: CPU µs per query at recall@10 {TARGET} and 0.99, all tenants together, and
by the points that the asking tenant may see. A dash stands where no setting finds as much; ratios are over the queries
that both were asked. Where a peer was built for a share of the points only, as all would not fit the limits, its memory
is scaled, and the share stands beside its build. Of each workload the last row counts; who took part in earlier ones
only stands in the results."""
_Found = dict[str, Any]


def section(rows: dict[str, Row]) -> tuple[str, dict[str, str]]:
    """The Markdown of all workloads, and drawings of those whose tenants differ in size; empty without rows."""
    if not rows:
        return "", {}
    lines, pictures, drawings = [], [], {}
    for name, row in rows.items():
        figures = row["figures"]
        contenders = {one: figures["contenders"][one] for one in _ordered(figures["contenders"])}
        lines += [_line(name, row, one, found, figures) for one, found in contenders.items()]
        classes = _classes(contenders)
        if len(classes) >= _LEAST_CLASSES:
            stem = f"tenants-{name}.svg"
            drawings[stem] = _drawn(name, row, contenders, classes)
            pictures.append(image(stem, f"CPU of a query by size of the tenant, {name}"))
    head = [
        "workload",
        "contender",
        f"µs at {TARGET}",
        "µs at 0.99",
        "to ours",
        "RAM of raw",
        "build CPU s",
        "date, commit",
    ]
    parts = ["### Many tenants", _INTRO, *pictures, table(head, lines)]
    return "\n\n".join(parts), drawings


def _ordered(contenders: _Found) -> list[str]:
    return sorted(contenders, key=lambda name: (name != _OURS, contenders[name]["at"][TARGET]["all"] or 1e99, name))


def _classes(contenders: _Found) -> list[str]:
    """Size classes in which anyone has a cost at the target, small tenants first."""
    named = [name for found in contenders.values() for name in found["at"][TARGET]]
    order = [name for name in dict.fromkeys(named) if name != "all"]
    return [name for name in order if any(found["at"][TARGET].get(name) for found in contenders.values())]


def _drawn(name: str, row: Row, contenders: _Found, classes: list[str]) -> str:
    legend = Legend(
        f"many tenants: {name}", "points that the tenant may see", f"CPU µs at recall@10 {TARGET}", origin(row)
    )
    lines = {
        one: {size: cost for size in classes if (cost := found["at"][TARGET].get(size))}
        for one, found in contenders.items()
    }
    return steps(legend, lines, classes)


def _line(name: str, row: Row, contender: str, found: _Found, figures: _Found) -> list[str]:
    ratio = figures.get("ours / peers", {}).get(contender, {}).get(f"us at {TARGET}")
    return [
        plain(name),
        plain(contender),
        cell(found["at"][TARGET]["all"]),
        cell(found["at"]["0.99"]["all"]),
        "1" if contender == _OURS else "-" if not ratio else f"{1 / ratio:.2f} ×",
        f"{found['anonymous bytes'] / figures['workload']['raw bytes']:.2f}",
        _build(found),
        f"{row['date'][:10]}, {row['commit']['id'][:7]}",
    ]


def _build(found: _Found) -> str:
    """CPU seconds of the build, which a kept index states among its facts, with the share that was built."""
    spent = cell(found["facts"].get("build CPU s", found["build CPU s"]))
    return spent if found["built share"] >= 1 else f"{spent} ({found['built share']:.0%})"
