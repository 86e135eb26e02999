"""Who takes part in a race between servers, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.race.environments import Environment, environment
from bench.race.servers.chroma import Chroma
from bench.race.servers.milvus import Milvus
from bench.race.servers.ours import INDEX_FROM_POINTS, OurServer
from bench.race.servers.postgres import Postgres
from bench.race.servers.program import Program

__all__ = ["CHROMA", "OURS_BINARY", "OURS_JSON", "PGVECTORS", "Setup", "Taking", "contenders"]

OURS_JSON, OURS_BINARY, CHROMA = "vdb json", "vdb binary", "Chroma"
PGVECTORS = ("pgvector 64", "pgvector 200")
"""By ef_construction: pgvector's default, and what other graphs are built with."""
_QUICK_INDEX_FROM = 1_000


@dataclass(frozen=True, slots=True)
class Setup:
    """What contenders need to know of the run: the folder of environments, threads of a build, small data or not."""

    cache: Path
    n_threads: int
    is_quick: bool


@dataclass(frozen=True, slots=True)
class Taking:
    """A server that takes part, and the releases of its packages."""

    program: Program
    versions: Mapping[str, str]


def contenders() -> dict[str, Callable[[Setup], Taking]]:
    """What makes each of them ready to start; raises LeftOut where it cannot be installed."""
    return {
        OURS_JSON: lambda setup: Taking(_ours("json", setup), {}),
        OURS_BINARY: lambda setup: Taking(_ours("binary", setup), {}),
        CHROMA: lambda setup: _installed("chroma", Chroma, Chroma.requirements, setup),
        **{name: _pgvector(int(name.split()[1])) for name in PGVECTORS},
        "milvus-lite": lambda setup: _installed("milvus-lite", Milvus, Milvus.requirements, setup),
    }


def _ours(form: str, setup: Setup) -> OurServer:
    return OurServer(form, _QUICK_INDEX_FROM if setup.is_quick else INDEX_FROM_POINTS)


def _pgvector(ef_construction: int) -> Callable[[Setup], Taking]:
    def made(setup: Setup) -> Taking:
        def program(place: Environment) -> Program:
            return Postgres(place, ef_construction, setup.n_threads)

        taking = _installed("pgvector", program, Postgres.requirements, setup)
        # The package of its name is the client's; the server says its own release among the parameters.
        return Taking(taking.program, {name: one for name, one in taking.versions.items() if name != "pgvector"})

    return made


def _installed(
    name: str, program: Callable[[Environment], Program], requirements: tuple[str, ...], setup: Setup
) -> Taking:
    place = environment(setup.cache, name, requirements)
    return Taking(program(place), place.releases(requirements))
