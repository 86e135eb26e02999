"""What a race says of its bars, and with which code it ends: ours cannot pass by taking no part."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report import Figure

__all__ = ["code", "unjudged"]

_OURS = "vdb"
"""How names of our contenders begin."""


def code(row: Mapping[str, Any], figures: Sequence[Figure], target: str | None) -> int:
    """1 where a bar is missed, or one of ours is left out or never finds `target`, the recall of the bars; else 0.

    `target` is None where nothing is judged.
    """
    lost = [name for name in row["left out"] if name.startswith(_OURS)]
    ours = [found["at recall"] for name, found in row["contenders"].items() if name.startswith(_OURS)]
    is_short = target is not None and any(at[target] is None for at in ours)
    return int(bool(lost) or is_short or any(figure.passes is False for figure in figures))


def unjudged(figures: Sequence[Figure], n_bars: int) -> str:
    """A line on bars without a verdict, of which there are `n_bars`; empty where each has one."""
    missing = n_bars - sum(figure.bar is not None for figure in figures)
    return f"not judged: {missing} of {n_bars} bars, as one side took no part or never finds as much" if missing else ""
