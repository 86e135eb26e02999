"""A workload's row as text: one line per setting, one table by tenant size, one of costs at a recall."""

from typing import Any

from bench.tenants.summary import TARGETS

_COLUMNS = ("recall", "recall p1", "mean us", "p50 us", "p99 us", "qps")


def text(row: dict[str, Any]) -> str:
    """The report of a row that `summary.row` made."""
    parts = [_head(row["workload"]), _settings(row["contenders"]), _costs(row["contenders"])]
    parts += [_memory(row["contenders"], row["workload"]["raw bytes"]), _ratios(row["ours / peers"])]
    parts += [f"left out: {name}: {reason}" for name, reason in row["left out"].items()]
    return "\n".join(part for part in parts if part)


def _head(workload: dict[str, Any]) -> str:
    said = "; ".join(f"{name} {value}" for name, value in workload.items() if name != "name")
    return f"\n== {workload['name']}: {said}"


def _settings(contenders: dict[str, Any]) -> str:
    lines = [f"{'contender':<22} {'setting':<22}" + "".join(f"{name:>10}" for name in _COLUMNS)]
    for name, figures in contenders.items():
        for one in figures["settings"]:
            wrong = f"  {one['foreign hits']} foreign, {one['hits twice']} twice"
            cells = "".join(_cell(one.get(column)) for column in _COLUMNS)
            is_wrong = one["foreign hits"] or one["hits twice"]
            lines.append(f"{name:<22} {one['setting']:<22}{cells}{wrong if is_wrong else ''}")
    return "\n".join(lines)


def _costs(contenders: dict[str, Any]) -> str:
    """Mean CPU µs at each target, over all queries and by tenant size."""
    first = next(iter(contenders.values()), None)
    if first is None:
        return ""
    classes = list(first["at"][f"{TARGETS[0]}"])
    lines = [f"{'mean us at recall':<45}" + "".join(f"{name:>10}" for name in classes)]
    for name, figures in contenders.items():
        for target, costs in figures["at"].items():
            lines.append(f"{name:<22} {target:<22}" + "".join(_cell(costs[column]) for column in classes))
    return "\n".join(lines)


def _memory(contenders: dict[str, Any], raw_bytes: int) -> str:
    lines = []
    for name, figures in contenders.items():
        anonymous, resident = (figures[f"{kind} bytes"] / 2**20 for kind in ("anonymous", "resident"))
        grown = f"{anonymous:,.0f} MiB anonymous, {resident:,.0f} resident"
        share = f", scaled from {figures['built share']:.0%} built" if figures["built share"] < 1 else ""
        facts = ", ".join(f"{fact} {value}" for fact, value in figures["facts"].items())
        ratio = f"{figures['anonymous bytes'] / raw_bytes:.2f} x raw"
        lines.append(f"{name:<22} grew by {grown} ({ratio}{share}); {facts}".rstrip("; "))
    return "\n".join(lines)


def _ratios(ratios: dict[str, Any]) -> str:
    return "\n".join(
        f"ours / {peer}: " + ", ".join(f"{name} {value}" for name, value in values.items())
        for peer, values in ratios.items()
    )


def _cell(value: float | None) -> str:
    if value is None:
        return f"{'-':>10}"
    return f"{value:>10,.0f}" if abs(value) >= 1000 else f"{value:>10.4g}"
