"""Of a race on one data set: the curve of cost by recall, latencies of servers, the table, and who leads by what.

Cost is CPU per query: `cost` in a row's figures says whose (a server's, or that of the thread that asks). QPS is its
reciprocal, queries per CPU second. The cost at a recall is read off the line between the settings around it
(`bench/tenants/summary.py`); latencies, spread and memory are measured, of the cheapest setting that finds as much.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.race.rows import at_targets
from bench.report.charts import Legend, bars, curves
from bench.report.markdown import cell, image, plain, table
from bench.report.measured import verdicts
from bench.report.rows import Row, file_name, origin
from bench.report.scales import of_recall

__all__ = ["LATENCY_TARGET", "cost_at", "frontier", "later", "section"]

LATENCY_TARGET = "0.95"
"""Recall that latencies, spread and the lead are stated at."""
_OWN = "vdb"
_MIB = 2**20
_Found = dict[str, Any]


def section(race: str, row: Row) -> tuple[str, dict[str, str]]:
    """The Markdown of a race's row, and its drawings by file name."""
    figures = row["figures"]
    data_set, contenders = figures["data set"]["name"], _ordered(figures["contenders"])
    about = "; ".join(f"{key} {_about(value)}" for key, value in figures["data set"].items() if key != "name")
    parts = [f"### Race {race}: {plain(data_set)}", f"{plain(about)}; k {figures['k']}. {origin(row)}."]
    parts.append(f"    {row['command']}")
    drawings = {}
    if contenders:
        stem = f"race-{race}-{file_name(data_set)}"
        drawings[f"{stem}.svg"] = _curve(race, data_set, row, contenders)
        parts.append(image(f"{stem}.svg", f"Queries per CPU second by recall, {race}, {data_set}"))
        if _is_of_server(figures):
            drawings[f"{stem}-latency.svg"] = _latencies(race, data_set, row, contenders)
            parts.append(image(f"{stem}-latency.svg", f"Latencies, {race}, {data_set}"))
        lead = _lead(contenders, figures.get("not raced", ()))
        parts += [lead, _table(contenders), _crowds(contenders), _parameters(contenders)]
    parts += [verdicts(figures.get("bars", {})), _left_out(figures.get("left out", {}))]
    return "\n\n".join(part for part in parts if part), drawings


def later(race: str, row: Row) -> str:
    """The Markdown of a newer row of fewer contenders, beside the one of most: another run, so a table of its own."""
    figures = row["figures"]
    contenders = _ordered(figures["contenders"])
    parts = [
        f"#### Later, of fewer: {race}, {plain(figures['data set']['name'])}",
        f"{origin(row)}.",
        f"    {row['command']}",
    ]
    if contenders:
        parts += [_lead(contenders, figures.get("not raced", ())), _table(contenders), _parameters(contenders)]
    parts += [verdicts(figures.get("bars", {})), _left_out(figures.get("left out", {}))]
    return "\n\n".join(part for part in parts if part)


def cost_at(found: _Found, target: str = LATENCY_TARGET) -> float | None:
    """CPU µs of a query at a recall; None where no setting finds as much."""
    at = at_targets(found["sweeps"])[target]  # not what the row says: older ones read it otherwise
    return float(at["cpu us"]) if at else None


def frontier(found: _Found) -> list[tuple[float, float]]:
    """(recall, queries per CPU second) of those settings that none both cheaper and better stands beside."""
    kept: list[tuple[float, float]] = []
    for one in sorted(found["sweeps"], key=lambda one: (one["cpu us"]["mean"], -one["recall"])):
        if not kept or one["recall"] > kept[-1][0]:
            kept.append((one["recall"], 1e6 / one["cpu us"]["mean"]))
    return kept


def _ordered(contenders: Mapping[str, _Found]) -> dict[str, _Found]:
    """Ours first, then by cost; those that do not find enough last."""

    def place(item: tuple[str, _Found]) -> tuple[bool, float, str]:
        cost = cost_at(item[1])
        return not item[0].startswith(_OWN), float("inf") if cost is None else cost, item[0]

    return dict(sorted(contenders.items(), key=place))


def _curve(race: str, data_set: str, row: Row, contenders: Mapping[str, _Found]) -> str:
    figures = row["figures"]
    whose = "server CPU second" if _is_of_server(figures) else "CPU second"
    recall = f"recall@{figures['k']} (better to the right)"
    legend = Legend(f"{race}: {data_set}", recall, f"queries per {whose}", origin(row))
    lines = {name: [(x, y) for x, y in frontier(found) if x >= 0.5] for name, found in contenders.items()}
    recalls = [x for points in lines.values() for x, _ in points]
    return curves(legend, lines, of_recall(recalls or [0.9]))


def _latencies(race: str, data_set: str, row: Row, contenders: Mapping[str, _Found]) -> str:
    groups = {}
    for name, found in contenders.items():
        chosen = _reaching(found)
        if chosen is not None:
            groups[name] = {kind: chosen["wall us"][kind] / 1e3 for kind in ("p50", "p95", "p99")}
    title = f"{race}: {data_set}, latency at recall {LATENCY_TARGET}"
    return bars(Legend(title, "ms from request to answer, one client", "", origin(row)), groups)


def _lead(contenders: Mapping[str, _Found], not_raced: Sequence[str]) -> str:
    """Who is cheapest at the target, and how far the others and ours are from it; who was not asked to take part."""
    costs = {name: cost for name, found in contenders.items() if (cost := cost_at(found)) is not None}
    never = [name for name in contenders if name not in costs]
    if not costs:
        return f"None finds {LATENCY_TARGET}."
    ranked = sorted(costs, key=lambda name: costs[name])
    first, own = ranked[0], next((name for name in ranked if name.startswith(_OWN)), None)
    among = f"Of these alone (not raced: {plain(', '.join(not_raced))}), at" if not_raced else "At"
    said = f"{among} recall {LATENCY_TARGET} **{plain(first)}** leads with {costs[first]:,.4g} µs of CPU per query"
    if len(ranked) > 1:
        said += f"; next {plain(ranked[1])}, {costs[ranked[1]] / costs[first]:.2f} times as much"
    if own is not None and own not in ranked[:2]:
        said += f"; {plain(own)} takes {costs[own] / costs[first]:.2f} times as much, place {ranked.index(own) + 1}"
    return f"{said}." + (f" No figure, as they never find that much: {plain(', '.join(never))}." if never else "")


def _table(contenders: Mapping[str, _Found]) -> str:
    targets = [target for found in list(contenders.values())[:1] for target in found["at recall"]]
    own = min(
        (cost for name, found in contenders.items() if name.startswith(_OWN) and (cost := cost_at(found)) is not None),
        default=None,
    )
    head = [
        "contender",
        "release",
        *(f"µs at {target}" for target in targets),
        "spread",
        f"to ours at {LATENCY_TARGET}",
    ]
    head += ["p50, p95, p99 µs", "build s", "RAM MiB", "resident MiB", "disk MiB", "restart s"]
    return table(head, [_line(name, found, targets, own) for name, found in contenders.items()])


def _crowds(contenders: Mapping[str, _Found]) -> str:
    """Of servers that several clients asked at once."""
    asked = {name: found["clients"] for name, found in contenders.items() if "clients" in found}
    numbers = list(dict.fromkeys(key for one in asked.values() for key in one if key.isdigit()))
    if not numbers:
        return ""
    head = ["several clients at once", *(f"QPS of {n}" for n in numbers), *(f"p99 µs of {n}" for n in numbers)]
    lines = [
        [plain(name)]
        + [cell(one[n]["qps"] if n in one else None) for n in numbers]
        + [cell(one[n]["wall us"]["p99"] if n in one else None) for n in numbers]
        for name, one in asked.items()
    ]
    return table(head, lines)


def _line(name: str, found: _Found, targets: list[str], own: float | None) -> list[str]:
    chosen, cost = _reaching(found), cost_at(found)
    wall = chosen["wall us"] if chosen else None
    others = chosen["cpu us"].get("of other threads", 0.0) if chosen else 0.0
    runs = [run + others for run in chosen.get("runs cpu us", ())] if chosen else []
    return [
        plain(name),
        plain(", ".join(map(" ".join, found.get("packages", {}).items()))) or "this commit",
        *(_cost(found, target) for target in targets),
        f"{cell(min(runs))} to {cell(max(runs))}" if runs else "-",
        "-" if cost is None or not own else f"{cost / own:.2f} ×",
        ", ".join(cell(wall[kind]) for kind in ("p50", "p95", "p99")) if wall else "-",
        cell(found.get("build s")),
        cell(_mebibytes(found.get("anonymous bytes"))),
        cell(_mebibytes(found.get("resident bytes after a restart"))),
        cell(_mebibytes(found.get("disk bytes"))),
        cell(found.get("restart s")),
    ]


def _cost(found: _Found, target: str) -> str:
    """A cost at a recall; with ≤ where even the fastest setting finds more."""
    at = at_targets(found["sweeps"])[target]
    return ("≤ " if at and at.get("at most") else "") + cell(cost_at(found, target))


def _reaching(found: _Found) -> _Found | None:
    """The cheapest setting that finds as much as the target."""
    enough = [one for one in found["sweeps"] if one["recall"] >= float(LATENCY_TARGET)]
    return min(enough, key=lambda one: float(one["cpu us"]["mean"]), default=None)


def _parameters(contenders: Mapping[str, _Found]) -> str:
    lines = []
    for name, found in contenders.items():
        chosen = _reaching(found)
        at = f"; at {LATENCY_TARGET}: {chosen['setting']}" if chosen else ""
        stated = found.get("parameters", "no parameters stated")
        twice = sum(one.get("hits twice", 0) for one in found["sweeps"])
        wrong = f"; **{twice} hits came twice**" if twice else ""
        strange = sum(one.get("hits of no row", 0) for one in found["sweeps"])
        wrong += f"; **{strange} hits were none of its points**" if strange else ""
        lines.append(f"- {plain(f'{name}: {stated}{at}')}{wrong}")
    return "\n".join(lines)


def _left_out(reasons: Mapping[str, str]) -> str:
    said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return f"Left out: {plain(said)}." if said else ""


def _is_of_server(figures: _Found) -> bool:
    """Whether costs are those of servers, which several clients may ask."""
    return "server" in str(figures.get("cost", "")) or "clients" in figures


def _about(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _mebibytes(n_bytes: float | None) -> float | None:
    return None if n_bytes is None else n_bytes / _MIB
