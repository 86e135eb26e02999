"""A row of a race as text: costs at recalls, and what else an index takes."""

from typing import Any

__all__ = ["text"]

_MIB = 2**20


def text(row: dict[str, Any]) -> str:
    """The report of a row of a race in process or between servers."""
    about = row["data set"]
    head = f"\n== {about['name']}: " + "; ".join(f"{name} {value}" for name, value in about.items() if name != "name")
    targets = [target for found in list(row["contenders"].values())[:1] for target in found["at recall"]]
    lines = [head, f"{'contender':<22}" + "".join(f"{f'us at {one}':>12}" for one in targets) + _COLUMNS]
    contenders = sorted(row["contenders"].items(), key=lambda pair: _cost(pair[1]))
    leader = min((_cost(found) for _, found in contenders), default=float("inf"))
    lines += [_line(name, found, targets, leader) for name, found in contenders]
    lines += [f"  {name}: {found['parameters']}" for name, found in contenders]
    clocks = [found["clock us"] for _, found in contenders if "clock us" in found]  # none where the cost is a server's
    lines += [f"two readings of the clock: {min(clocks):.2f} to {max(clocks):.2f} us of each query"] if clocks else []
    lines += [f"not loaded again: {name}: {found['restart']}" for name, found in contenders if "restart" in found]
    lines += [f"left out: {name}: {reason}" for name, reason in row["left out"].items()]
    return "\n".join(lines)


_COLUMNS = (
    f"{'x leader':>10}{'p99 us':>9}{'best':>8}{'build s':>9}{'CPU s':>8}{'anon MiB':>10}{'res MiB':>9}"
    f"{'disk MiB':>10}{'restart s':>11}"
)


def _line(name: str, found: dict[str, Any], targets: list[str], leader: float) -> str:
    costs = "".join(f"{'-' if cost is None else cost['cpu us']:>12}" for cost in map(found["at recall"].get, targets))
    behind = f"{_cost(found) / leader:.2f}" if _cost(found) < float("inf") else "-"
    reaching = [one for one in found["sweeps"] if one["recall"] >= 0.95] or found["sweeps"]
    p99 = min(reaching, key=lambda one: float(one["cpu us"]["mean"]))["wall us"]["p99"]
    best = max(one["recall"] for one in found["sweeps"])
    disk, restart = found.get("disk bytes"), found.get("restart s")
    return (
        f"{name:<22}{costs}{behind:>10}{p99:>9.5g}{best:>8.4g}{found['build s']:>9.3g}{found['build CPU s']:>8.3g}"
        f"{found['anonymous bytes'] / _MIB:>10.0f}{found['resident bytes'] / _MIB:>9.0f}"
        f"{'-' if disk is None else f'{disk / _MIB:.0f}':>10}{'-' if restart is None else f'{restart:.2f}':>11}"
    )


def _cost(found: dict[str, Any]) -> float:
    cost = found["at recall"].get("0.95")
    return float(cost["cpu us"]) if cost else float("inf")
