"""`vdb check` on what tenants may ask for and have asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.engine.driver import opened
from tests.storage.damage import CATALOG, changing
from vdb.storage import catalog as store
from vdb.storage.catalog import RateDocument, UsageDocument
from vdb.storage.check import check_directory
from vdb.storage.codec import encode_document
from vdb.storage.env import Transaction
from vdb.storage.keyspace import tenant_usage_key

MONTH = UsageDocument(tenant_id=1, month=202601, requests=3)


def rate(reads_per_s: float) -> Callable[[Transaction], None]:
    """The tenant's rate, whatever the engine would say to it."""

    def change(txn: Transaction) -> None:
        tenant = store.tenant_by_id(txn, 1)
        assert tenant is not None
        store.put_tenant(txn, replace(tenant, rate=RateDocument(reads_per_s=reads_per_s)))

    return change


def usage(document: UsageDocument, month: int = 202601) -> Callable[[Transaction], object]:
    return lambda txn: txn.put(tenant_usage_key(1, month), encode_document(document))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (rate(5.0), None),
        (rate(0.0), "a rate is not positive"),
        (usage(MONTH), None),
        (usage(MONTH, 202602), "the document is of another tenant or month"),
        (usage(replace(MONTH, tenant_id=-1)), "the document is of another tenant or month"),
        (usage(replace(MONTH, month=202613), 202613), "its month is none"),
        (usage(replace(MONTH, refused=-1)), "a count is negative"),
        (lambda txn: txn.put(tenant_usage_key(1, 202601), b"damaged"), "checksum does not match"),
        (lambda txn: store.put_tenant_usage(txn, replace(MONTH, tenant_id=9)), "its tenant is gone"),
    ],
)
def test_rates_and_usage_are_checked(tmp_path: Path, change: Callable[[Transaction], object], what: str | None) -> None:
    with opened(tmp_path / "data") as driver:
        driver.create_tenant("acme")
    with changing(tmp_path / "data" / CATALOG) as txn:
        change(txn)
    faults = [fault.what for fault in check_directory(tmp_path / "data")]
    assert len(faults) == (what is not None) and all(what in fault for fault in faults if what), faults
