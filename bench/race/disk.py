"""Indexes on disk: the parts of `bench disk` with their bars, by one command; `--data` names parts."""

import argparse
from collections.abc import Sequence

from bench.disk import PARTS, PEERS, figures
from bench.race import parts
from bench.race.entries import FAISS, HNSWLIB, LANCEDB, USEARCH
from bench.report import Figure

__all__ = ["ENVIRONMENTS", "run"]

ENVIRONMENTS: parts.Peers = {
    "diskann": ("diskannpy==0.7.0",),
    "lancedb": LANCEDB,
    "faiss": FAISS,
    "usearch": USEARCH,
    "hnswlib": HNSWLIB,
}
"""`lancedb` is for both of its kinds, `hnswlib` for the part `hardness`."""


def run(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Measure the parts, all by default, against the peers that `--only` names; 1 where a bar is missed.

    Raises SystemExit where a part or a peer is not known.
    """
    against = parts.chosen(given.only, PEERS, "peer")
    how = given.cache, given.seed, given.quick

    def measure(part: str) -> tuple[list[Figure], dict[str, str]]:
        wanted = {"peers": {name.partition("-")[0] for name in against}, "hardness": {"hnswlib"}}.get(part, set())
        made, releases = parts.installed({name: ENVIRONMENTS[name] for name in sorted(wanted)}, given.cache)
        if part == "hardness" and not made:
            return [], {}
        ready = [name for name in against if name.partition("-")[0] in made]
        return figures(part, ready, {name: one.python for name, one in made.items()}, how), releases

    return parts.run(parts.chosen(given.data, PARTS, "part"), given, arguments, measure)
