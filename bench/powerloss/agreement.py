"""What the recorded process and the judge of its log agree on: ledgers, settings, and the mark of readiness."""

from pathlib import Path
from typing import Any

from bench.crash.ledger import CatalogLedger, Ledger, Note
from bench.crash.load import TENANTS
from vdb.config import Settings

WRITERS_PER_TENANT = 2
SMALL_MAP_BYTES = 1 << 20
"""A map this small grows during the run."""

READY: dict[str, Any] = {"ledger": "ready"}
"""The mark that the shared collection and the tenants are there."""


def new_ledgers(note: Note | None = None) -> tuple[list[Ledger], CatalogLedger]:
    """The ledgers of a run, empty."""
    writers = [Ledger(f"{tenant}.{i}", tenant, note) for tenant in TENANTS for i in range(WRITERS_PER_TENANT)]
    return writers, CatalogLedger(note)


def settings_for(data_dir: Path) -> Settings:
    """Settings of the recorded engine and of those that open what it left."""
    return Settings(
        data_dir=data_dir,
        admin_key="power-loss-harness-key",
        map_bytes=SMALL_MAP_BYTES,
        compile_kernels=False,
        purge_interval_s=0.2,
    )
