"""The semantic cache and GPTCache: how long a decision takes, as `bench cache --only latency`, by one command."""

import argparse
from collections.abc import Sequence

from bench.cache import latency
from bench.race import parts
from bench.report import Figure
from bench.tenants.growth import datasets

__all__ = ["ENVIRONMENTS", "run"]

ENVIRONMENTS: parts.Peers = {"gptcache": ("gptcache==0.1.44", "sqlalchemy==2.0.44", "faiss-cpu==1.15.1")}
_PARTS = ("latency",)


def run(given: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Measure ours beside GPTCache; 1 where a bar is missed. Raises SystemExit where `--data` names another part."""

    def measure(part: str) -> tuple[list[Figure], dict[str, str]]:
        made, releases = parts.installed(ENVIRONMENTS, given.cache)
        python = made["gptcache"].python if made else None
        asked = argparse.Namespace(quick=given.quick, seed=given.seed, data=datasets(), peer_python=python)
        return latency.measure(asked), releases

    return parts.run(parts.chosen(given.data, _PARTS, "part"), given, arguments, measure)
