"""`python -m bench scaling model`: what a node takes for so many vectors, tenants and queries, by tier."""

import argparse
import sys
from collections.abc import Sequence
from math import isnan
from pathlib import Path

from bench.record import RESULTS
from bench.scaling.laws import laws, measured
from bench.scaling.model import MEASURED_DIMENSION, TIERS, Cost, Model, Threshold, Wanted


def main(arguments: Sequence[str]) -> int:
    """Print it; 1 where too little was measured."""
    given = _parser().parse_args(arguments)
    found = measured(given.results)
    wanted = Wanted(given.vectors, given.tenants, given.dimension, given.qps)
    try:
        print(text(Model(found, laws(found)), wanted))
    except KeyError as exc:
        print(f"not measured at enough sizes: {exc}; run `python -m bench scaling` first", file=sys.stderr)
        return 1
    return 0


def text(model: Model, wanted: Wanted) -> str:
    """The costs of every tier, and what gives way first."""
    head = (
        f"{amount(wanted.vectors)} vectors of {wanted.dimension} components, {amount(wanted.tenants)} tenants of equal "
        f"parts, {wanted.qps:g} queries/s at recall .95; one node, one collection. Extrapolated, see docs/scaling.md."
    )
    over = model.gives_way(wanted)
    last = [_threshold(one) for one in over] if over else ["nothing that is known"]
    return "\n".join([head, "", *(_cost(model.cost(wanted, tier)) for tier in TIERS), "", "gives way:", *last])


def amount(value: float) -> str:
    """A number with two digits: 12,000; 3.4e+08 as 340 million."""
    for size, name in ((1e9, " billion"), (1e6, " million")):
        if value >= size:
            return f"{float(f'{value / size:.2g}'):g}{name}"
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"


def bytes_of(value: float) -> str:
    """Bytes with two digits and a decimal unit."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if value >= size:
            return f"{float(f'{value / size:.2g}'):g} {unit}"
    return f"{value / 1e3:.2g} KB"


def seconds_of(value: float) -> str:
    """Seconds with two digits, as minutes or hours where they are many; nothing for nan."""
    if isnan(value):
        return ""
    for size, unit in ((3_600.0, "h"), (60.0, "min")):
        if value >= size:
            return f"{float(f'{value / size:.2g}'):g} {unit}"
    return f"{value:.2g} s"


def _cost(cost: Cost) -> str:
    low, high = cost.ram_range
    parts = [
        f"{cost.tier:<7} RAM {bytes_of(cost.ram_bytes)} ({bytes_of(low)} to {bytes_of(high)})",
        f"disk {bytes_of(cost.disk_bytes)}",
        f"query {cost.kernel_us:,.0f} + {cost.request_us:,.0f} µs",
        f"{cost.cores:.2g} cores",
        f"build {seconds_of(cost.build_h * 3_600)} of a core",
    ]
    if cost.tier != "disk":
        parts += [
            f"layout {seconds_of(cost.layout_s)}",
            f"first search after a restart {seconds_of(cost.load_s) or 'not known'}",
            f"inserts {cost.inserts_per_s:,.0f}/s",
        ]
    return "; ".join(parts)


def _threshold(one: Threshold) -> str:
    return f"  from {amount(one.at)} {one.unit}: {one.what}: {one.remedy}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench scaling model", description=__doc__)
    parser.add_argument("--vectors", type=float, required=True, help="how many, of all tenants")
    parser.add_argument("--tenants", type=float, default=1.0, help="how many; each owns as many (default: 1)")
    parser.add_argument("--dimension", type=int, default=MEASURED_DIMENSION, help="components (measured: 384)")
    parser.add_argument("--qps", type=float, default=1_000.0, help="queries per second (default: 1000)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of scaling.json")
    return parser
