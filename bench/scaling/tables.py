"""`python -m bench scaling tables`: the tables of docs/scaling.md from the rows; `--write` puts them there.

A table stands in the document between `<!-- table: name -->` and `<!-- end -->`.
"""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path

from bench.record import RESULTS, ROOT
from bench.scaling.checked import compared
from bench.scaling.fit import Law
from bench.scaling.laws import LAWS, Laws, Measured, laws, measured
from bench.scaling.limits import limits
from bench.scaling.model import Model, Wanted
from bench.scaling.told import amount, bytes_of, seconds_of

DOCUMENT = ROOT / "docs" / "scaling.md"
VECTORS, TENANTS = (1e6, 1e7, 1e8, 1e9), (1.0, 1e3, 1e6)
FARTHEST = 1e9
SHOWN: Mapping[str, Sequence[str]] = {
    "memory": (
        "work at .95", "entries scored at .95", "rows scored at .95", "candidates compared at .95", "CPU at .95",
        "work at .99", "CPU at .99", "cells", "bytes in RAM per point", "CPU of the build",
    ),
    "disk": (
        "work at .95", "lists read at .95", "rows scanned at .95", "CPU at .95", "work at .99", "CPU at .99",
        "bytes in RAM per point", "bytes on disk per point", "CPU of the build",
    ),
    "writes": ("CPU of an insert", "CPU of a layout", "CPU of an insert with its layouts"),
    "collection": (
        "server CPU per point until stored", "server CPU per point until indexed and tuned",
        "server CPU per search at .95",
        "bytes on disk per point", "bytes of the store per point", "restart until ready", "first search after it",
    ),
    "directories": ("bytes in RAM per tenant", "grants per tenant", "bytes in RAM per grant"),
    "tenants": (
        "CPU to make a tenant", "bytes in RAM per tenant, not searched", "bytes on disk per tenant",
        "restart until ready", "first search after a restart, p50",
    ),
}  # fmt: skip
"""What each part's table has of it."""
UNITS = {
    "bytes": "B", "CPU at": "µs", "CPU of an insert": "µs", "CPU of": "s", "server CPU": "µs", "CPU to": "ms",
    "restart": "s", "first": "ms",
}  # fmt: skip
"""Units by how a name begins; counts have none."""


def main(arguments: Sequence[str]) -> int:
    """Print the tables, or write them into the document."""
    parser = argparse.ArgumentParser(prog="python -m bench scaling tables", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of scaling.json")
    parser.add_argument("--write", action="store_true", help="into docs/scaling.md")
    given = parser.parse_args(arguments)
    made = tables(measured(given.results))
    if given.write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), made), encoding="utf-8")
    else:
        print("\n\n".join(f"{name}\n\n{table}" for name, table in made.items()))
    return 0


def tables(found: Measured) -> dict[str, str]:
    """All tables by name. Raises KeyError where too little was measured."""
    fitted = laws(found)
    made = {part: _measured(found.get(part, {}), SHOWN[part]) for part in SHOWN}
    model = Model(found, fitted)
    return made | {
        "laws": _laws(fitted),
        "checked": _checked(fitted),
        "model": _model(model),
        "thresholds": _thresholds(model),
        "limits": _markdown(
            ("What", "Limit", "Set by", "Then"), ([one.what, f"{one.value:,}", one.kind, one.then] for one in limits())
        ),
    }


def written(document: str, made: Mapping[str, str]) -> str:
    """The document with these tables in their places."""
    for name, table in made.items():
        place = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        document = place.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", document)  # type: ignore[misc]
    return document


def _measured(values: Mapping[str, Mapping[int, float]], names: Iterable[str]) -> str:
    sizes = sorted({size for name in names for size in values.get(name, {})})
    rows = (
        [_with_unit(name), *(_number(values[name][n]) if n in values[name] else "" for n in sizes)]
        for name in names
        if name in values
    )
    return _markdown(("", *(f"{n:,}" for n in sizes)), rows)


def _laws(fitted: Laws) -> str:
    head = ("What", "Law", "exponent", "residual", "off at the largest", f"at {amount(FARTHEST)}")
    return _markdown(
        head,
        (
            _law(f"`{part}`: {what}", LAWS[part][what], one)
            for part, some in fitted.items()
            for what, one in some.items()
        ),
    )


def _law(name: str, form: str, one: Law) -> list[str]:
    curve = one.curve
    low, high = one.range_at(FARTHEST)
    said = {
        "power": f"{curve.b:.3g} · n^{curve.c:.2f}",
        "affine": f"{curve.a:.3g} + {curve.b:.3g} · n",
        "level": f"{curve.a:.3g}",
    }[form]
    exponent = f"{one.exponents[0]:.2f} to {one.exponents[1]:.2f}" if form == "power" and one.others else ""
    ends = f"{_number(low)} to {_number(high)}" if form != "level" and one.others else ""
    off = "" if isnan(one.off) else f"{100 * one.off:+.0f} %"
    return [_with_unit(name), said, exponent, f"{100 * one.residual:.0f} %", off, ends]


def _checked(fitted: Laws) -> str:
    rows = (
        [_with_unit(what), f"{n:,}", _number(said), _number(seen), f"{100 * (said / seen - 1):+.0f} %"]
        for what, n, said, seen in compared(fitted.get("disk", {}))
    )
    return _markdown(("On disk", "Points", "Law", "Measured", "Law is off by"), rows)


def _model(model: Model) -> str:
    rows = []
    for vectors in VECTORS:
        for tenants in TENANTS:
            wanted = Wanted(vectors, tenants)
            memory, hybrid, disk = (model.cost(wanted, tier) for tier in ("memory", "hybrid", "disk"))
            over = [one for one in model.gives_way(wanted) if one.unit == "points"]
            rows.append([
                f"{vectors:,.0f}", f"{tenants:,.0f}", " / ".join(bytes_of(c.ram_bytes) for c in (memory, hybrid, disk)),
                f"{bytes_of(hybrid.disk_bytes)} / {bytes_of(disk.disk_bytes)}",
                f"{hybrid.kernel_us:,.0f} / {disk.kernel_us:,.0f}", f"{hybrid.cores:.2g} / {disk.cores:.2g}",
                f"{seconds_of(3_600 * hybrid.build_h)} / {seconds_of(3_600 * disk.build_h)}",
                seconds_of(hybrid.layout_s), seconds_of(hybrid.load_s), over[0].what if over else "",
            ])  # fmt: skip
    head = (
        "Vectors", "Tenants", "RAM: memory / hybrid / disk", "Disk: hybrid / disk", "Kernel, µs per query",
        "Cores for 1,000/s", "Build", "Layout", "First search", "First to give way",
    )  # fmt: skip
    return _markdown(head, rows)


def _thresholds(model: Model) -> str:
    rows = ([f"{amount(one.at)} {one.unit}", one.what, one.remedy] for one in model.thresholds())
    return _markdown(("From", "What gives way", "What to do"), rows)


def _with_unit(name: str) -> str:
    what = name.partition(": ")[2] or name
    return next((f"{name}, {unit}" for start, unit in UNITS.items() if what.startswith(start)), name)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
