"""`vdb check` holds payload indexes to the records, both ways, and `--repair` builds them anew."""

from pathlib import Path

import pytest

from tests.storage.damage import CATALOG, SHAPES, Damage, changing, drop, entries, files, flip, golden_copy, hurt, put
from tests.storage.test_check import redraft, rewrite
from vdb.storage import catalog as store
from vdb.storage.check import check_directory
from vdb.storage.field_values import Tag, encode_number, encode_string
from vdb.storage.keyspace import Space, index_document_key, index_prefix, number_key, record_key
from vdb.storage.payload_index import IndexDocument
from vdb.storage.repair import repair
from vdb.types import IndexState

TRIANGLE = record_key(1, 0)


def entry(index: int, tag: Tag, value: bytes = b"", upper: bytes = b"\0\0") -> bytes:
    return index_prefix(index) + bytes((tag,)) + value + upper


PRESENT, ABSENT = entry(1, Tag.PRESENT), entry(1, Tag.ABSENT)
THREE = entry(1, Tag.NUMBER, encode_number(3))

DAMAGE: list[tuple[str, Damage, str]] = [
    ("a value missing", drop(THREE), "its entry in the payload index of sides is missing"),
    ("a pid missing", put(PRESENT, b"\0\2\0"), "its entry in the payload index of sides is missing"),
    ("a pid of nothing", put(PRESENT, b"\0\0\0\2\0\7\0"), "sides has 1 entries that no point accounts for"),
    ("a value of nothing", put(entry(2, Tag.STRING, encode_string("x")[0]), b"\0\0\0"), "name has 1 entries that no"),
    ("pids beyond all", put(entry(1, Tag.PRESENT, b"", b"\0\1"), b"\0\0\0"), "sides has 1 entries that no point"),
    ("an empty set", put(entry(1, Tag.NULL), b"\0"), "is empty"),
    ("a set cut short", put(ABSENT, b"\0\3"), "checksum does not match"),
    ("no set", put(ABSENT, b""), "checksum does not match"),
    ("a bitmap that is none", put(ABSENT, b"\1\0\0\0\0"), "a bitmap is not one"),
    ("a bit of a document", flip(index_document_key(1), 9), "the document of payload index 1 is damaged"),
    ("a document under another number", redraft(index_document_key(1), IndexDocument, number=2), "index 1 is damaged"),
    ("a document missing", drop(index_document_key(1)), "is of no payload index"),
    ("a key cut short", put(index_prefix(1) + b"\0\0", b"\0"), "is of no payload index"),
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return golden_copy(tmp_path / "data")


@pytest.mark.parametrize(("damage", "what"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_damage_of_an_index_is_found_and_repaired(path: Path, damage: Damage, what: str) -> None:
    before = entries(path)
    hurt(path, SHAPES, damage)
    faults = check_directory(path)
    assert any(what in fault.what for fault in faults), faults
    done = repair(path)
    assert (done.findings.faults, len(done.changes) > 0, done.aside) == ([], True, None)
    assert entries(path) == before
    after = files(path)
    assert (repair(path).changes, files(path)) == ([], after), "a second repair found something to do"


def test_an_index_follows_what_a_repair_sets_aside(path: Path) -> None:
    hurt(path, SHAPES, flip(TRIANGLE, -2))
    assert [fault.what for fault in check_directory(path)][:1] == ["a record's checksum does not match its bytes"]
    assert repair(path, drop_damaged=True).findings.faults == []
    with changing(path / SHAPES) as txn:
        assert txn.get(THREE) is None and txn.get(PRESENT) == b"\0\2\0"


def test_a_record_that_was_changed_behind_the_index_is_found(path: Path) -> None:
    hurt(path, SHAPES, rewrite(TRIANGLE, payload=b'{"sides":4}'))
    found = {fault.what for fault in check_directory(path)}
    assert "its entry in the payload index of sides is missing" in found
    assert "the payload index of name has 1 entries that no point accounts for" in found or len(found) > 2


def test_an_index_that_is_being_built_may_lack_what_lies_beyond_its_position(path: Path) -> None:
    building = redraft(index_document_key(1), IndexDocument, state=IndexState.BUILDING, position=1 << 32)
    hurt(path, SHAPES, building)
    hurt(path, SHAPES, put(PRESENT, b"\0\0\0"))
    assert check_directory(path) == []
    hurt(path, SHAPES, put(PRESENT, b"\0\2\0"))
    assert [fault.what for fault in check_directory(path)] == ["its entry in the payload index of sides is missing"]


def test_a_collection_indexes_declared_fields_only(path: Path) -> None:
    hurt(path, CATALOG, redraft(number_key(Space.COLLECTION, 2), store.CollectionDocument, indexes=["other"]))
    assert [fault.what for fault in check_directory(path)] == ["it indexes a field that it does not declare"]
