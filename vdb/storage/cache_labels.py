"""Labels, policies and statistics of one cache inside a transaction. `vdb.cache` owns the shape of their JSON.

Labels stand in the order of arrival, by tenant and category. The label of one tenant is of no use to another, so they
go with the tenant.
"""

import logging
from collections.abc import Iterator
from itertools import islice

from vdb.errors import CorruptData
from vdb.storage.cache_codec import seal, unseal
from vdb.storage.catalog import iterate_prefix
from vdb.storage.env import Transaction
from vdb.storage.keyspace import ALL_OWNERS, Space, category_key, label_key, label_prefix, name_key, owner_prefix

logger = logging.getLogger(__name__)


def put_label(txn: Transaction, tenant: int, category: str, label: bytes) -> int:
    """Append a label (JSON) behind the others of its tenant and category; its number."""
    number = _last_number(txn, label_prefix(tenant, category)) + 1
    txn.put(label_key(tenant, category, number), seal(label))
    return number


def _last_number(txn: Transaction, prefix: bytes) -> int:
    with txn.cursor() as cursor:
        is_found = cursor.prev() if cursor.set_range(prefix + b"\xff" * 9) else cursor.last()
        key: bytes = cursor.key() if is_found else b""
    return int.from_bytes(key[len(prefix) :], "big") if key.startswith(prefix) else 0


def iterate_labels(txn: Transaction, tenant: int, category: str) -> Iterator[bytes]:
    """Labels in the order of arrival; a damaged one is logged and left out."""
    return (label for _, label in _readable(txn, label_prefix(tenant, category)))


def label_categories(txn: Transaction) -> list[tuple[int, str]]:
    """(tenant, category) of every calibration that has labels; skips from one to the next."""
    found = []
    start = bytes((Space.LABEL,))
    with txn.cursor() as cursor:
        while cursor.set_range(start) and cursor.key()[0] == Space.LABEL:
            key = cursor.key()
            tenant, category = int.from_bytes(key[1:5], "big"), key[6 : 6 + key[5]]
            found.append((tenant, category.decode(errors="replace")))
            start = key[: 6 + key[5]] + b"\xff" * 9
    return found


def trim_labels(txn: Transaction, tenant: int, category: str, n_kept: int) -> int:
    """Forget all labels but the last `n_kept` numbers; how many went."""
    prefix = label_prefix(tenant, category)
    last_gone = max(0, _last_number(txn, prefix) - n_kept)
    end = label_key(tenant, category, last_gone + 1)
    gone = []
    for key, _ in iterate_prefix(txn, prefix):
        if key >= end:
            break
        gone.append(key)
    for key in gone:
        txn.delete(key)
    return len(gone)


def put_policy(txn: Transaction, category: str, policy: bytes) -> None:
    """Store the policy (JSON) of a category; the category is there from now on."""
    txn.put(name_key(Space.POLICY, category), seal(policy))


def remove_policy(txn: Transaction, category: str) -> bool:
    """Whether there was one."""
    return bool(txn.delete(name_key(Space.POLICY, category)))


def read_policies(txn: Transaction) -> dict[str, bytes]:
    """Category → policy. Raises CorruptData: a policy that cannot be read must not become the default one."""
    return {key[1:].decode(): unseal(value, "a policy") for key, value in iterate_prefix(txn, bytes((Space.POLICY,)))}


def put_statistics(txn: Transaction, tenant: int, category: str, statistics: bytes) -> None:
    """Store the counters (JSON) of a tenant's category."""
    txn.put(category_key(Space.CACHE_STATISTICS, tenant, category), seal(statistics))


def iterate_statistics(txn: Transaction, tenant: int | None = None) -> Iterator[tuple[int, str, bytes]]:
    """(tenant, category, counters) of one tenant or of all; damaged ones are logged and left out."""
    space = Space.CACHE_STATISTICS
    for key, statistics in _readable(txn, bytes((space,)) if tenant is None else owner_prefix(space, tenant)):
        yield int.from_bytes(key[1:5], "big"), key[5:].decode(), statistics


def remove_learned(txn: Transaction, tenant: int, n_max: int) -> int:
    """Forget up to `n_max` labels and counters of a tenant; how many went, 0 when none is left."""
    assert tenant != ALL_OWNERS, "nobody's"
    gone: list[bytes] = []
    for space in (Space.LABEL, Space.CACHE_STATISTICS):
        found = iterate_prefix(txn, owner_prefix(space, tenant))
        gone += [key for key, _ in islice(found, n_max - len(gone))]
    for key in gone:
        txn.delete(key)
    return len(gone)


def _readable(txn: Transaction, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    for key, value in iterate_prefix(txn, prefix):
        try:
            yield key, unseal(value, "a value of a cache")
        except CorruptData as exc:
            logger.error("%s cannot be read", key.hex(), exc_info=exc)
