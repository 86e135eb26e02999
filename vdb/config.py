"""Settings: frozen dataclasses, read from the environment in this file only (`VDB_` + the field's name in capitals).

Sizes are bytes, times seconds. A setting's default, unit and meaning stand beside it; docs/settings.md lists them all.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from vdb.errors import InvalidArgument

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps that a request can meet; `/v1/limits` shows them. Change them only with a reason."""

    max_dimension: int = 8192
    max_body_bytes: int = 64 * MIB
    max_points_per_request: int = 10_000
    max_ids_per_request: int = 10_000
    max_payload_bytes: int = 64 * KIB
    max_payload_depth: int = 32
    max_id_bytes: int = 256
    max_limit: int = 1_000
    max_scroll_limit: int = 1_000
    max_queries_per_request: int = 256
    max_grantees_per_point: int = 1_000
    max_fields_per_collection: int = 256
    max_tenants_per_collection: int = 10_000
    max_collections: int = 1_000
    max_answer_bytes: int = 128 * MIB
    max_timeout_s: int = 60
    max_waiting_jobs: int = 100
    max_queued_requests: int = 1_024
    max_queued_bytes: int = 512 * MIB


@dataclass(frozen=True, slots=True)
class Settings:
    """How one server runs. `with_environment` reads `VDB_*`; arguments win over the environment."""

    data_dir: Path = Path("data")
    """Directory of all data; made where missing."""
    backup_dir: str = ""
    """Folder of the backups, outside of the data directory; empty: backups over REST are refused."""
    host: str = "127.0.0.1"
    """Address to listen on; binding elsewhere needs an admin key to exist or `VDB_ADMIN_KEY`."""
    port: int = 8080
    """TCP port; 0 lets the system choose."""
    metrics_port: int = 0
    """Loopback port that serves /metrics without a key; 0 means none."""
    admin_key: str = ""
    """An admin key to accept (16 characters or more); empty: the first start makes one and prints it once."""
    memory_bytes: int = 4 * GIB
    """Cap of vectors held in RAM; the least recently searched audiences are dropped first."""
    map_bytes: int = 8 * GIB
    """Address space that an environment's map starts with; it doubles as data grows."""
    max_map_bytes: int = 64 * GIB
    """Where a map stops growing; a write beyond answers 507."""
    disk_reserve_bytes: int = 64 * MIB
    """Free disk kept back for deletes; other writes answer 507 below it."""
    max_open_environments: int = 256
    """Collections kept open; idle ones beyond it are closed."""
    n_writers: int = 2
    """Threads that drain write queues; one collection has one at a time."""
    n_readers: int = 4
    """Threads for searches too long for the event loop."""
    purge_interval_s: float = 10.0
    """How often expired points are removed from disk (they are hidden at once)."""
    log_level: str = "info"
    """Least level of the structured log: debug, info, warning or error."""
    log_requests: bool = True
    """Whether each request writes one line to the access log."""
    compile_kernels: bool = True
    """Whether numba kernels are compiled in the background; without, NumPy answers."""
    limits: Limits = Limits()

    @classmethod
    def with_environment(cls, environment: Mapping[str, str] | None = None, **given: object) -> "Settings":
        """Settings from `VDB_*` variables, overridden by `given`; raises InvalidArgument for a value of wrong form."""
        source = os.environ if environment is None else environment
        values: dict[str, object] = {}
        for field in fields(cls):
            text = source.get(f"VDB_{field.name.upper()}")
            if text is not None and field.name != "limits":
                values[field.name] = _parse(field.name, text, getattr(cls(), field.name))
        for name, value in given.items():
            if value is not None:
                values[name] = _checked(name, value, getattr(cls(), name, value))
        return cls(**values)  # type: ignore[arg-type]


def _checked(name: str, value: object, default: object) -> object:
    """`value` if it is of the kind of `default`."""
    kind = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, kind):
        raise InvalidArgument(f"{name} has a value of wrong form: {value!r}")
    return value


def _parse(name: str, text: str, default: object) -> object:
    try:
        if isinstance(default, bool):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        return type(default)(text)  # type: ignore[call-arg]
    except (KeyError, ValueError) as exc:
        raise InvalidArgument(f"VDB_{name.upper()} has a value of wrong form: {text!r}") from exc
