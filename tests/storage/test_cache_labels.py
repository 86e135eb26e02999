"""Labels, policies and statistics of a cache, as they are stored."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.cache_examples import cache_environment, contents
from vdb.errors import CorruptData
from vdb.storage import cache_labels as store
from vdb.storage.env import Environment
from vdb.storage.keyspace import Space, label_key, name_key


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Environment]:
    with cache_environment(tmp_path / "cache") as made:
        yield made


def test_labels_come_back_in_the_order_of_arrival_per_tenant_and_category(env: Environment) -> None:
    with env.write() as txn:
        for i in range(300):
            assert store.put_label(txn, 1, "faq", b"%d" % i) == i + 1
            store.put_label(txn, 1, "faq2", b"other")
            store.put_label(txn, 2, "faq", b"another")
        assert store.put_label(txn, 0xFFFFFFFE, "zzz", b"last") == 1
        assert store.put_label(txn, 0xFFFFFFFE, "zzz", b"last") == 2
    with env.read() as txn:
        assert list(store.iterate_labels(txn, 1, "faq")) == [b"%d" % i for i in range(300)]
        assert len(list(store.iterate_labels(txn, 2, "faq"))) == 300
        assert list(store.iterate_labels(txn, 3, "faq")) == []
        assert store.label_categories(txn) == [(1, "faq"), (1, "faq2"), (2, "faq"), (0xFFFFFFFE, "zzz")]


def test_a_trim_keeps_the_last_labels_and_numbers_go_on(env: Environment) -> None:
    with env.write() as txn:
        for i in range(10):
            store.put_label(txn, 1, "faq", b"%d" % i)
        assert store.trim_labels(txn, 1, "faq", 20) == 0
        assert store.trim_labels(txn, 1, "faq", 3) == 7
        assert store.put_label(txn, 1, "faq", b"10") == 11
        assert list(store.iterate_labels(txn, 1, "faq")) == [b"7", b"8", b"9", b"10"]
        assert store.trim_labels(txn, 1, "nothing", 3) == 0


def test_a_damaged_label_is_left_out(env: Environment) -> None:
    with env.write() as txn:
        for i in range(3):
            store.put_label(txn, 1, "faq", b"%d" % i)
        txn.put(label_key(1, "faq", 2), b"\0\0\0\0x")
        assert list(store.iterate_labels(txn, 1, "faq")) == [b"0", b"2"]


def test_policies_read_back_and_a_damaged_one_is_no_default(env: Environment) -> None:
    with env.write() as txn:
        store.put_policy(txn, "faq", b'{"mode":"off"}')
        store.put_policy(txn, "law", b"{}")
        store.put_policy(txn, "law", b'{"mode":"exact"}')
        assert store.read_policies(txn) == {"faq": b'{"mode":"off"}', "law": b'{"mode":"exact"}'}
        assert (store.remove_policy(txn, "faq"), store.remove_policy(txn, "faq")) == (True, False)
        txn.put(name_key(Space.POLICY, "law"), b"\0" * 9)
        with pytest.raises(CorruptData):
            store.read_policies(txn)


def test_what_was_learned_of_a_tenant_goes_in_steps_and_nobody_elses(env: Environment) -> None:
    with env.write() as txn:
        store.put_statistics(txn, 2, "faq", b'{"n":1}')
        store.put_label(txn, 2, "faq", b"kept")
    kept = contents(env)
    with env.write() as txn:
        for i in range(5):
            store.put_label(txn, 1, "faq", b"%d" % i)
        store.put_statistics(txn, 1, "faq", b"{}")
        store.put_statistics(txn, 1, "law", b"{}")
        assert [one[:2] for one in store.iterate_statistics(txn, 1)] == [(1, "faq"), (1, "law")]
        assert [store.remove_learned(txn, 1, 3) for _ in range(4)] == [3, 3, 1, 0]
        assert list(store.iterate_statistics(txn)) == [(2, "faq", b'{"n":1}')]
    assert contents(env) == kept
