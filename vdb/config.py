"""Settings: frozen dataclasses, filled from a TOML file, the environment (read in this file only) and options.

Options win over `VDB_*` variables, which win over the file, which wins over the defaults. Sizes are bytes, times
seconds. A setting's default, unit and meaning stand beside it; docs/settings.md lists them all.
"""

import difflib
import ipaddress
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from vdb.errors import InvalidArgument
from vdb.layered import (
    MAX_INTEGER,
    Rules,
    checked,
    flag_of,
    meant,
    parsed,
    secret_of_file,
    toml_of,
    values_of_file,
)

CONFIG_VARIABLE = "VDB_CONFIG"
"""Names the settings file where no option does."""

CLIENT_VARIABLES = ("VDB_URL", "VDB_API_KEY")
"""Which server a command asks, and with which key: no settings of a server."""

BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""How many threads each of the libraries takes that NumPy multiplies by, read when NumPy is loaded."""

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
    max_rerank: int = 10_000
    max_scroll_limit: int = 1_000
    max_queries_per_request: int = 256
    max_grantees_per_point: int = 1_000
    max_fields_per_collection: int = 256
    max_indexes_per_collection: int = 16
    max_tenants_per_collection: int = 10_000
    max_metadata_entries: int = 64
    max_metadata_value_bytes: int = 1 * KIB
    max_collections: int = 1_000
    max_caches: int = 100
    max_categories_per_cache: int = 256
    max_examples_per_category: int = 256
    max_question_bytes: int = 64 * KIB
    max_cached_answer_bytes: int = 1 * MIB
    max_cached_sources: int = 256
    max_templates_per_collection: int = 16
    max_versions_per_template: int = 16
    max_template_bytes: int = 16 * KIB
    max_documents_per_request: int = 1_000
    max_document_bytes: int = 32 * MIB
    max_chunks_per_document: int = 10_000
    max_aliases: int = 1_000
    max_answer_bytes: int = 128 * MIB
    max_timeout_s: int = 60
    max_waiting_jobs: int = 100
    max_queued_requests: int = 1_024
    max_queued_bytes: int = 512 * MIB


@dataclass(frozen=True, slots=True)
class Settings:
    """How one server runs. `load` puts them together, and says where each came from."""

    data_dir: Path = Path("data")
    """Directory of all data; made where missing."""
    backup_dir: str = ""
    """Folder of the backups, outside of the data directory; empty: backups over REST are refused."""
    backup_interval_s: float = 0.0
    """Time between scheduled backups, 60 and more, counted in UTC; 0: none are made."""
    backup_keep: int = 7
    """How many scheduled backups are kept; older ones are removed once a newer one is whole."""
    host: str = "127.0.0.1"
    """Address to listen on; binding elsewhere needs an admin key to exist or `VDB_ADMIN_KEY`."""
    port: int = 8080
    """TCP port; 0 lets the system choose."""
    metrics_port: int = 0
    """Loopback port that serves /metrics without a key; 0 means none."""
    admin_key: str = ""
    """An admin key to accept (16 characters or more); empty: the first start makes one and prints it once."""
    admin_key_file: str = ""
    """A file that holds the admin key, mode 0600, instead of `admin_key`; empty: none."""
    tls_cert: str = ""
    """PEM file of the certificate chain; read again on SIGHUP and when it changes. Empty: plain HTTP."""
    tls_key: str = ""
    """PEM file of the certificate's private key, without a password."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks (CIDR) of proxies whose X-Forwarded-For and -Proto are believed, for the logs."""
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
    n_parsers: int = 2
    """Processes that read HTML, PDF and long texts; the first such document starts one."""
    parse_timeout_s: float = 30.0
    """Processor time that reading a document may take; four times as much by the clock."""
    parse_memory_bytes: int = 1 * GIB
    """Address space of each of those processes."""
    purge_interval_s: float = 10.0
    """How often expired points are removed from disk (they are hidden at once)."""
    tenant_reads_per_s: float = 0.0
    """Queries per second of each tenant that has no rate of its own; 0: no limit."""
    tenant_writes_per_s: float = 0.0
    """Points per second written by such a tenant; 0: no limit."""
    tenant_bytes_per_s: float = 0.0
    """Bytes per second of its bodies and answers; 0: no limit."""
    tenant_burst_s: float = 2.0
    """As many seconds' worth of a rate may come at once; for every tenant whose rate says nothing else."""
    result_set_bytes: int = 64 * MIB
    """Cap of what searches of answers found, kept while a search would find the same; 0: nothing is kept."""
    metrics_tenants: int = 50
    """Tenants with lines of their own in /metrics: those that ask most. The others are one."""
    log_level: str = "info"
    """Least level of the structured log: debug, info, warning or error."""
    log_requests: bool = True
    """Whether each request writes one line to the access log."""
    audit_log: str = ""
    """File that management operations are appended to, one JSON line each, refused ones too; empty: none."""
    audit_fsync: bool = False
    """Whether each line of the audit log is on the disk before the answer."""
    traces: bool = False
    """Whether each request makes an OpenTelemetry trace (extra `otel`), exported as the OTEL_* variables say."""
    trace_tenants: bool = False
    """Whether the span of a request names its tenant."""
    index_from_points: int = 20_000
    """Vectors from which on a collection gets an index, in the background; searches are exact until then. 0: never."""
    record_queries: bool = True
    """Whether some recent queries of each collection are kept, as vectors, to choose its encoding and effort by."""
    check_recall: bool = True
    """Whether one search in 1,000 is compared with all its tenant may see, beside it, for `vdb_index_recall`."""
    backend: Literal["auto", "cpu", "gpu"] = "auto"
    """What answers searches that do not say: auto takes a GPU, if there is one, for much work; gpu insists on one."""
    gpu_memory_bytes: int = 0
    """Cap of what lies of indexes in the GPU's memory; 0: four fifths of what is free there at the start."""
    gpu_wait_s: float = 0.0002
    """How long queries that came while the GPU was busy may wait for more to go with them; alone they never wait."""
    gpu_from_s: float = 0.001
    """With backend auto: the CPU time, as estimated, from which a request is the GPU's."""
    compile_kernels: bool = True
    """Whether numba kernels are compiled in the background; without, NumPy answers."""
    models_file: str = ""
    """File of the models that the server may ask, in TOML: docs/models.md; empty: the built-in one alone."""
    limits: Limits = Limits()

    @classmethod
    def load(
        cls, config: Path | None = None, environment: Mapping[str, str] | None = None, **given: object
    ) -> "Loaded":
        """Settings from the file `config` (or `VDB_CONFIG`), `VDB_*` variables and `given`, each winning over the last.

        None in `given` is not given. Raises InvalidArgument, with the place, for a file that cannot be read, a name in
        it that is no setting, and a value of wrong form or out of range; TypeError for an unknown name in `given`.
        """
        source = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        if config is None and source.get(CONFIG_VARIABLE):
            config = Path(source[CONFIG_VARIABLE])
        if config is not None:
            _take_file(config, values, origins)
        _take_environment(source, values, origins)
        for name, value in given.items():
            if value is not None:
                values[name] = checked(name, value, getattr(_DEFAULTS, name, value), RULES, name)
                origins[name] = flag_of(name)
        settings, warnings = _with_key_of_file(cls(**values), origins)
        if config is not None and origins.get("admin_key") == str(config) and config.stat().st_mode & 0o077:
            warnings.append(f"others than its owner may read {config}, which holds admin_key: chmod 600 it")
        _check_whole(settings)
        return Loaded(settings, origins, (*_misspelt(source), *warnings))

    @classmethod
    def with_environment(cls, environment: Mapping[str, str] | None = None, **given: object) -> "Settings":
        """`load` without the origins."""
        return cls.load(None, environment, **given).settings


def limit_blas_threads(environment: MutableMapping[str, str] | None = None) -> None:
    """Have NumPy multiply by one thread, unless the environment says how many; for a process of ours, before NumPy is
    loaded. The server's own threads are enough for its cores: docs/settings.md has what more cost."""
    source = os.environ if environment is None else environment
    if not any(source.get(name) for name in BLAS_VARIABLES):
        source.update(dict.fromkeys(BLAS_VARIABLES, "1"))


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, where each that is no default came from (`limits.max_limit` for a cap), and what to warn of."""

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]

    def toml(self) -> str:
        """The settings as a file that could hold them; secrets masked."""
        return "\n".join(toml_of(self.settings, self.origins, RULES)) + "\n"


_DEFAULTS = Settings()
_ONE_OR_MORE = (1, MAX_INTEGER)
_PORT = (0, 65_535)

RULES = Rules(
    bounds={
        "port": _PORT,
        "metrics_port": _PORT,
        "map_bytes": (MIB, 1 << 46),
        "max_map_bytes": (MIB, 1 << 46),
        "max_open_environments": _ONE_OR_MORE,
        "n_writers": (1, 256),
        "n_readers": (1, 256),
        "n_parsers": (1, 256),
        "parse_timeout_s": (1.0, 3600.0),
        "parse_memory_bytes": (256 * MIB, 1 << 46),
        "purge_interval_s": (0.01, 1e9),
        "backup_interval_s": (0.0, 1e9),
        "backup_keep": _ONE_OR_MORE,
        "tenant_reads_per_s": (0.0, 1e12),
        "tenant_writes_per_s": (0.0, 1e12),
        "tenant_bytes_per_s": (0.0, 1e12),
        "tenant_burst_s": (0.001, 1e12),
        "result_set_bytes": (0, 1 << 46),
        "metrics_tenants": (0, 10_000),
        "gpu_memory_bytes": (0, 1 << 46),
        "gpu_wait_s": (0.0, 100.0),
        "gpu_from_s": (0.0, 1e9),
    },
    choices={"backend": ("auto", "cpu", "gpu"), "log_level": ("debug", "info", "warning", "error")},
    secrets=("admin_key",),
)
"""What settings may be beyond their kind."""

FIXED_LIMITS = {
    "max_payload_depth": "it is how deep the JSON parser goes",
    "max_id_bytes": "it is how long an id of the storage format can be",
}
"""Caps that no file changes, and why."""

LOWERED_LIMITS = (
    "max_dimension",
    "max_payload_bytes",
    "max_grantees_per_point",
    "max_tenants_per_collection",
    "max_collections",
)
"""Caps that a file may lower but not raise: what is stored relies on them, and `vdb check` holds data to them."""

_LIMIT_RULES = Rules(
    bounds={
        field.name: (1, getattr(_DEFAULTS.limits, field.name) if field.name in LOWERED_LIMITS else 1 << 40)
        for field in fields(Limits)
    },
    choices={},
)


def _take_file(path: Path, values: dict[str, Any], origins: dict[str, str]) -> None:
    known = {field.name for field in fields(Settings)}
    for name, value in values_of_file(path).items():
        if name not in known:
            raise InvalidArgument(f"{path}: {name!r} is no setting{meant(name, known)}")
        if name == "limits":
            values[name] = _limits_of(path, value, origins)
            continue
        values[name] = checked(name, value, getattr(_DEFAULTS, name), RULES, f"{path}: {name}")
        origins[name] = str(path)


def _limits_of(path: Path, table: object, origins: dict[str, str]) -> Limits:
    if not isinstance(table, dict):
        raise InvalidArgument(f"{path}: limits is a table: write [limits]")
    known = {field.name for field in fields(Limits)}
    for name, value in table.items():
        if name not in known:
            raise InvalidArgument(f"{path}: {name!r} is no limit{meant(name, known)}")
        if name in FIXED_LIMITS and value != getattr(_DEFAULTS.limits, name):
            raise InvalidArgument(f"{path}: {name} cannot be changed: {FIXED_LIMITS[name]}")
        checked(name, value, getattr(_DEFAULTS.limits, name), _LIMIT_RULES, f"{path}: limits.{name}")
        origins[f"limits.{name}"] = str(path)
    return replace(_DEFAULTS.limits, **table)


def _take_environment(source: Mapping[str, str], values: dict[str, Any], origins: dict[str, str]) -> None:
    for field in fields(Settings):
        variable = f"VDB_{field.name.upper()}"
        text = source.get(variable)
        if text is not None and field.name != "limits":
            values[field.name] = parsed(field.name, text, getattr(_DEFAULTS, field.name), RULES, variable)
            origins[field.name] = variable


def _misspelt(source: Mapping[str, str]) -> list[str]:
    """Variables that look like a setting's but are none; others may be somebody else's, so none is refused."""
    known = [f"VDB_{field.name.upper()}" for field in fields(Settings)]
    found = []
    for variable in sorted(source):
        if variable.startswith("VDB_") and variable not in (*known, CONFIG_VARIABLE, *CLIENT_VARIABLES):
            close = difflib.get_close_matches(variable, known, n=1, cutoff=0.85)
            found += [f"{variable} is no setting: {close[0]} is" for _ in close]
    return found


def _check_whole(settings: Settings) -> None:
    """What one value alone does not show."""
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise InvalidArgument("tls_cert and tls_key go together: give both or neither")
    if settings.audit_log and Path(settings.audit_log).absolute().is_relative_to(settings.data_dir.absolute()):
        raise InvalidArgument("audit_log must lie outside of data_dir, where `vdb check` knows every file")
    for text in settings.trusted_proxies:
        try:
            ipaddress.ip_network(text)
        except ValueError as exc:
            raise InvalidArgument(f"trusted_proxies: {exc}") from exc


def _with_key_of_file(settings: Settings, origins: dict[str, str]) -> tuple[Settings, list[str]]:
    """The settings with the admin key that `admin_key_file` holds, and a warning where others may read the file."""
    if not settings.admin_key_file:
        return settings, []
    key, warnings = secret_of_file("admin_key_file", settings.admin_key_file)
    if settings.admin_key and settings.admin_key != key:
        raise InvalidArgument("admin_key and admin_key_file name different keys: give one of them")
    origins["admin_key"] = settings.admin_key_file
    return replace(settings, admin_key=key), warnings


DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Which server a command asks, and with which key; empty where the environment does not say."""

    url: str = ""
    api_key: str = ""

    @classmethod
    def with_environment(cls, environment: Mapping[str, str] | None = None) -> "ClientSettings":
        """`VDB_URL`, and `VDB_API_KEY` or else `VDB_ADMIN_KEY`."""
        source = os.environ if environment is None else environment
        return cls(source.get("VDB_URL", ""), source.get("VDB_API_KEY") or source.get("VDB_ADMIN_KEY", ""))
