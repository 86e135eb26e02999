"""What a race between servers says: the row of a contender, and the row as text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.race import show
from bench.race.rows import at_targets, facts_of, of_wall, rounded, what_was_found
from bench.race.servers.taking_part import Asked, Crowd, TakingPart
from bench.tenants.truth import Judged

__all__ = ["contender", "text"]


def contender(one: TakingPart) -> dict[str, Any]:
    """The row of a server: what it took, its cost at recalls (CPU of the server), its sweeps, several clients."""
    sweeps = [_sweep(*each) for each in zip(one.settings, one.judged, one.passes, strict=True)]
    crowds = {str(n): _crowd(passes) for n, passes in one.crowds.items()}
    clients = {"setting": one.crowd_setting} | crowds | ({"failed": one.crowds_failed} if one.crowds_failed else {})
    return facts_of(one.facts) | {"at recall": at_targets(sweeps), "sweeps": sweeps, "clients": clients}


def text(row: Mapping[str, Any]) -> str:
    """The report of a row that `measure` made: that of any race, and beneath it what is of servers alone."""
    lines = [show.text(dict(row)), "us: CPU of the server per query; build: until all is stored and indexed", ""]
    counts = [str(n) for n in row["clients"]]
    head = "".join(f"{f'QPS of {n}':>10}" for n in counts) + "".join(f"{f'p99 us, {n}':>12}" for n in counts)
    lines.append(f"{'several clients':<22}{head}{'client us':>11}{'idle ms/s':>11}  setting")
    return "\n".join(lines + [_line(name, found, counts) for name, found in row["contenders"].items()])


def _line(name: str, found: Mapping[str, Any], counts: Sequence[str]) -> str:
    setting = found["clients"]["setting"]
    alone = next(sweep for sweep in found["sweeps"] if sweep["setting"] == setting)
    of = {counts[0]: {"qps": alone["qps"], "wall us": alone["wall us"]}} | found["clients"]
    rates = "".join(f"{of[n]['qps']:>10}" if n in of else f"{'—':>10}" for n in counts)
    slowest = "".join(f"{of[n]['wall us']['p99']:>12.5g}" if n in of else f"{'—':>12}" for n in counts)
    idle = found["CPU ms a second while idle"]
    failed = f"; fails {found['clients']['failed']}" if "failed" in found["clients"] else ""
    return f"{name:<22}{rates}{slowest}{alone['cpu us']['client']:>11.4g}{idle:>11.3g}  {setting}{failed}"


def _sweep(setting: str, judged: Judged, passes: Sequence[Asked]) -> dict[str, Any]:
    """CPU: medians of the passes; the clock: all that the client waited for, in all of them."""
    wall_us = np.concatenate([one.answers.wall_us for one in passes])
    server_us = [one.server_us for one in passes]
    return what_was_found(setting, judged) | {
        "cpu us": {
            "mean": rounded(float(np.median(server_us))),
            "client": rounded(float(np.median([one.answers.process_us for one in passes]))),
        },
        "wall us": {"mean": rounded(float(wall_us.mean())), **of_wall(wall_us)},
        "qps": round(1e6 / float(wall_us.mean())),
        "runs cpu us": [rounded(one) for one in server_us],
    }


def _crowd(passes: Sequence[Crowd]) -> dict[str, Any]:
    return {
        "qps": round(float(np.median([one.qps for one in passes]))),
        "cpu us": rounded(float(np.median([one.server_us for one in passes]))),
        "wall us": of_wall(np.concatenate([one.wall_us for one in passes])),
        "runs qps": [round(one.qps) for one in passes],
    }
