"""`vdb check` finds every broken invariant, and changes nothing."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tests.storage.damage import (
    CATALOG,
    NOTES,
    SHAPES,
    Damage,
    changing,
    drop,
    flip,
    golden_copy,
    leave_last_pages_unwritten,
    put,
)
from vdb.errors import CorruptData, DirectoryLocked, FormatTooNew, StorageFailure
from vdb.storage import catalog as store
from vdb.storage.check import check_directory, examine
from vdb.storage.check_report import report_of
from vdb.storage.codec import (
    FORMAT_VERSION,
    Record,
    Usage,
    decode_document,
    decode_record,
    encode_document,
    encode_record,
    encode_u32,
    encode_u64,
    encode_usage,
)
from vdb.storage.directory import DataDirectory
from vdb.storage.env import Transaction
from vdb.storage.faults import MAX_FAULTS
from vdb.storage.keyspace import (
    ALL_OWNERS,
    EVERYONE_ID,
    META_COLLECTION,
    META_FORMAT,
    META_N_POINTS,
    META_NEXT_COLLECTION,
    META_NEXT_JOB,
    META_NEXT_PID,
    META_NEXT_TENANT,
    META_SEQUENCE,
    Space,
    expiry_key,
    grant_key,
    name_key,
    number_key,
    point_id_prefix,
    record_key,
    template_key,
    tenant_key_key,
    usage_key,
    vector_key,
)
from vdb.storage.templates import TemplateDocument

ACME, GLOBEX, INITECH = 1, 2, 3
A1 = record_key(ACME, 0)
"""acme's first note: has a vector and a payload, is granted to globex."""
LATER, LATER_MS = record_key(GLOBEX, 7), 4_102_444_800_000
TEMPLATE = encode_document(
    TemplateDocument(
        collection_id=1, name="brief", version=2, system="", passage="", question="", not_found="", created_at_ms=1
    )
)


def rewrite(key: bytes, **fields: object) -> Damage:
    """A record says something else, with a right checksum."""

    def damage(txn: Transaction) -> None:
        record: Record = decode_record(txn.get(key))
        txn.put(key, encode_record(replace(record, **fields)))

    return damage


def redraft(key: bytes, shape: type[msgspec.Struct], **fields: object) -> Damage:
    """A document says something else, with a right checksum."""

    def damage(txn: Transaction) -> None:
        document = decode_document(txn.get(key), shape)
        txn.put(key, encode_document(msgspec.structs.replace(document, **fields)))

    return damage


def key_of(txn: Transaction, role: str) -> store.KeyDocument:
    documents = store.iterate_documents(txn, Space.KEY, store.KeyDocument)
    return next(document for document in documents if document.role == role and not document.expires_at_ms)


def drop_of_key(entry: Callable[[store.KeyDocument], bytes]) -> Damage:
    """An index entry of acme's writing key is gone."""
    return lambda txn: txn.delete(entry(key_of(txn, "write")))


POINTS: list[tuple[str, Damage, str]] = [
    ("a bit of the payload", flip(A1, -2), "checksum does not match"),
    ("a bit of the version", flip(A1, 10), "checksum does not match"),
    ("a bit of the checksum", flip(A1, 0), "checksum does not match"),
    ("a record cut short", put(A1, b"short"), "shorter than its head"),
    ("a bit of the vector", flip(vector_key(ACME, 0), 3), "vector's checksum"),
    ("a vector cut short", put(vector_key(ACME, 0), b"\0" * 12), "its vector has 12 bytes"),
    ("a vector missing", drop(vector_key(ACME, 0)), "its vector is missing"),
    ("a vector of nothing", put(vector_key(ACME, 99), b"\0" * 16), "of the index vector leads to no such point"),
    ("a vector denied", rewrite(A1, has_vector=False), "though its record says that it has none"),
    ("a record missing", drop(A1), "it counts 12 points, not 11"),
    ("an id missing", drop(point_id_prefix(ACME) + b"a1"), "index point_id is missing or wrong"),
    ("an id misled", put(point_id_prefix(ACME) + b"a1", encode_u32(1)), "index point_id is missing or wrong"),
    ("an id of nothing", put(point_id_prefix(ACME) + b"x", encode_u32(0)), "index point_id leads to no such point"),
    ("an id of one byte", put(point_id_prefix(ACME) + b"a1", b"\0"), "index point_id is missing or wrong"),
    ("a grant missing", drop(grant_key(GLOBEX, 0)), "index grant is missing or wrong"),
    ("a grant of nothing", put(grant_key(INITECH, 0), encode_u32(ACME)), "index grant leads to no such point"),
    ("a grant to nobody", rewrite(A1, shared=(GLOBEX, 77)), "tenant 77, to whom it is granted, is gone"),
    ("grants in disorder", rewrite(A1, shared=(INITECH, GLOBEX)), "its grants are not in order"),
    ("a grant to the owner", rewrite(A1, shared=(ACME, GLOBEX)), "its grants are not in order"),
    ("an expiry missing", drop(expiry_key(LATER_MS, 7)), "index expiry is missing or wrong"),
    ("an expiry of nothing", put(expiry_key(5, 0), encode_u32(ACME)), "index expiry leads to no such point"),
    ("an expiry moved", rewrite(LATER, expires_at_ms=LATER_MS + 1), "index expiry is missing or wrong"),
    ("a negative expiry", rewrite(A1, expires_at_ms=-1), "its expiry is negative"),
    ("a usage wrong", put(usage_key(ACME), encode_usage(Usage(5, 1))), "its usage is stored as Usage(points=5"),
    ("a usage missing", drop(usage_key(ACME)), "its usage is stored as Usage(points=0"),
    ("a usage of nobody", put(usage_key(77), encode_usage(Usage(1, 1))), "it has a usage, but no points"),
    ("a usage cut short", put(usage_key(ACME), b"12"), "a stored usage is not 40 bytes long"),
    ("totals wrong", put(usage_key(ALL_OWNERS), encode_usage(Usage(5, 1))), "its usage is stored as Usage(points=5"),
    ("totals missing", drop(usage_key(ALL_OWNERS)), "its usage is stored as Usage(points=0"),
    ("points miscounted", put(META_N_POINTS, encode_u64(3)), "it counts 3 points, not 12"),
    ("a counter cut short", put(META_N_POINTS, b"3"), "is not 8 bytes"),
    ("pids behind", put(META_NEXT_PID, encode_u64(4)), "its pid lies beyond the counter, 4"),
    ("pids beyond reason", put(META_NEXT_PID, encode_u64(1 << 40)), "its counter of pids"),
    ("a sequence behind", put(META_SEQUENCE, encode_u64(2)), "was never written"),
    ("a foreign environment", put(META_COLLECTION, encode_u64(8)), "says that it is collection 8"),
    ("an unknown number", put(b"\x01other", encode_u64(1)), "unknown number"),
    ("an unknown space", put(b"\x77key", b""), "key 776b6579 is of no known space"),
    ("a catalog's key", put(number_key(Space.TENANT, 1), b""), "is of no known space"),
    ("a record's key cut short", put(A1[:5], b""), "is of no known space"),
    ("a vector too new", rewrite(A1, vector_version=99), "its vector is newer than itself"),
    ("a payload that is no object", rewrite(A1, payload=b"[1]"), "is not well formed"),
    ("a payload with a key twice", rewrite(A1, payload=b'{"a":1,"a":2}'), "is not well formed"),
    ("a payload too large", rewrite(A1, payload=b'{"a":"' + b"x" * 70_000 + b'"}'), "its payload is too large"),
    ("an id that is no text", rewrite(A1, id=b"\xff\xff"), "is not well formed"),
    ("an id too long", rewrite(A1, id=b"x" * 257), "its id is not 1 to 256 bytes long"),
    ("a pid used twice", put(record_key(GLOBEX, 0), encode_record(Record(b"z", 1, 1, 0, (), b"", False, 0))),
     "another owner has a point of this pid"),
    ("an owner that is gone", put(record_key(77, 20), encode_record(Record(b"z", 1, 1, 0, (), b"", False, 0))),
     "the tenant is gone, its points are not"),
    ("everyone as an owner", put(record_key(EVERYONE_ID, 20), b""), "the tenant is gone"),
]  # fmt: skip

CATALOG_DAMAGE: list[tuple[str, Damage, str]] = [
    ("a bit of a collection", flip(number_key(Space.COLLECTION, 1), 9), "checksum does not match"),
    ("a bit of a tenant", flip(number_key(Space.TENANT, 1), 0), "checksum does not match"),
    ("a bit of a job", flip(number_key(Space.JOB, 1), 12), "checksum does not match"),
    ("a collection's name missing", drop(name_key(Space.COLLECTION_NAME, "notes")), "its name does not lead to it"),
    ("a tenant's name missing", drop(name_key(Space.TENANT_NAME, "acme")), "its name does not lead to it"),
    ("a tenant's name misled", put(name_key(Space.TENANT_NAME, "acme"), encode_u32(2)), "the name leads to 'globex'"),
    ("a name of nothing", put(name_key(Space.COLLECTION_NAME, "x"), encode_u32(9)), "the name leads to nothing"),
    ("a name of one byte", put(name_key(Space.COLLECTION_NAME, "x"), b"1"), "the name leads to nothing"),
    ("a tenant missing", drop(number_key(Space.TENANT, INITECH)), "the tenant is gone, its points are not"),
    ("collections behind", put(META_NEXT_COLLECTION, encode_u64(1)), "beyond the counter of collections"),
    ("tenants behind", put(META_NEXT_TENANT, encode_u64(2)), "its id lies beyond the counter"),
    ("jobs behind", put(META_NEXT_JOB, encode_u64(0)), "its id lies beyond the counter of jobs"),
    ("a hash missing", drop_of_key(lambda key: name_key(Space.KEY_HASH, key.hash)), "does not lead to it"),
    ("an old hash missing", drop_of_key(lambda key: name_key(Space.KEY_HASH, key.previous_hash)), "not lead to it"),
    ("a key missing", drop_of_key(lambda key: name_key(Space.KEY, key.id)), "it leads to no key that has it"),
    ("a key unlisted", drop_of_key(lambda key: tenant_key_key(ACME, key.id)), "it is not among its tenant's keys"),
    ("a listed key that is none", put(tenant_key_key(ACME, "key-x"), b""), "it is no key of that tenant"),
    ("a hash of nothing", put(name_key(Space.KEY_HASH, "ab" * 32), b"key-x"), "it leads to no key that has it"),
    ("a job of unknown kind", redraft(number_key(Space.JOB, 1), store.JobDocument, kind="x"), "unknown kind 'x'"),
    ("a job done without end", redraft(number_key(Space.JOB, 1), store.JobDocument, finished_at_ms=0), "its end"),
    ("a tenant under another id", redraft(number_key(Space.TENANT, 1), store.TenantDocument, id=3), "its id is 3"),
    ("a tenant in no state", redraft(number_key(Space.TENANT, 1), store.TenantDocument, state="x"), "unknown state"),
    ("a member that never was", redraft(number_key(Space.COLLECTION, 2), store.CollectionDocument, tenants=[9]),
     "it names a tenant that never was"),
    ("a cap of nothing", redraft(number_key(Space.COLLECTION, 2), store.CollectionDocument, memory_bytes=0),
     "its cap of memory is not positive"),
    ("a tier of another kind", redraft(number_key(Space.COLLECTION, 2), store.CollectionDocument, tier="tape"),
     "not a CollectionDocument"),
    ("a dimension of nothing", redraft(number_key(Space.COLLECTION, 2), store.CollectionDocument, dimension=0),
     "its dimension is 0"),
    ("a key of a tenant that goes", redraft(number_key(Space.TENANT, 1), store.TenantDocument, state="deleting"),
     "its tenant is gone"),
    ("a point's key", put(A1, b""), "is of no known space"),
    ("a template of nothing", put(template_key(9, "a", 1), TEMPLATE), "its collection is gone"),
    ("a template elsewhere", put(template_key(1, "a", 1), TEMPLATE), "of another name or version"),
    ("a template that is none", put(template_key(1, "brief", 2), b"x" * 9), "checksum"),
    ("an alias of nothing", put(name_key(Space.ALIAS, "x"), encode_u32(9)), "the alias leads to no collection"),
    ("an alias of one byte", put(name_key(Space.ALIAS, "x"), b"1"), "the alias leads to no collection"),
    ("an alias that is a collection's name", put(name_key(Space.ALIAS, "notes"), encode_u32(2)), "the same name"),
    ("an alias of no form", put(name_key(Space.ALIAS, "No Name"), encode_u32(1)), "has not the form of names"),
    ("an alias that is no text", put(name_key(Space.ALIAS, "") + b"\xff", encode_u32(1)), "not the form of names"),
]  # fmt: skip


def test_an_alias_of_a_collection_half_removed_is_a_fault(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    with changing(path / CATALOG) as txn:
        txn.put(name_key(Space.ALIAS, "figures"), encode_u32(2))
    assert check_directory(path) == []
    with changing(path / CATALOG) as txn:
        redraft(number_key(Space.COLLECTION, 2), store.CollectionDocument, state="deleting")(txn)
        txn.delete(name_key(Space.COLLECTION_NAME, "shapes"))
    assert [fault.what for fault in check_directory(path)] == ["the alias leads to no collection"]


@pytest.mark.parametrize(("damage", "what"), [case[1:] for case in POINTS], ids=[case[0] for case in POINTS])
def test_the_check_finds_damage_in_a_collection(tmp_path: Path, damage: Damage, what: str) -> None:
    path = golden_copy(tmp_path / "data")
    with changing(path / NOTES) as txn:
        damage(txn)
    faults = check_directory(path)
    assert any(what in fault.what for fault in faults), faults
    assert all(fault.where.startswith("collection notes") for fault in faults)


@pytest.mark.parametrize(
    ("damage", "what"), [case[1:] for case in CATALOG_DAMAGE], ids=[case[0] for case in CATALOG_DAMAGE]
)
def test_the_check_finds_damage_in_the_catalog(tmp_path: Path, damage: Damage, what: str) -> None:
    path = golden_copy(tmp_path / "data")
    with changing(path / CATALOG) as txn:
        damage(txn)
    faults = check_directory(path)
    assert any(what in fault.what for fault in faults), faults


def test_every_bit_of_a_record_and_of_its_vector_is_watched(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    with changing(path / NOTES) as txn:
        sizes = {key: len(txn.get(key)) for key in (A1, vector_key(ACME, 0))}
    for key, size in sizes.items():
        for position in range(size):
            with changing(path / NOTES) as txn:
                flip(key, position)(txn)
            assert check_directory(path), f"byte {position} of {key.hex()}"
            with changing(path / NOTES) as txn:
                flip(key, position)(txn)
    assert check_directory(path) == []


def test_the_check_changes_no_byte_of_the_data(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    examine(path)
    after = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "LOCK"}
    assert after == before


def test_the_check_counts_what_it_looked_at(tmp_path: Path) -> None:
    found = examine(golden_copy(tmp_path / "data"))
    assert (found.n_collections, found.n_tenants, found.n_points, found.n_faults) == (2, 3, 15, 0)


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        ("collections/00000009", "no collection"),
        ("other", "nothing of ours"),
        ("collections/00000001.draft", "no coll"),
    ],
)
def test_the_check_finds_stray_folders(tmp_path: Path, folder: str, what: str) -> None:
    path = golden_copy(tmp_path / "data")
    (path / folder).mkdir()
    assert [fault.what[: len(what)] for fault in check_directory(path)] == [what]


def test_the_check_finds_a_missing_environment(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    (path / SHAPES / "data.mdb").unlink()
    assert [fault.what for fault in check_directory(path)] == ["its environment 00000002 is missing"]


def test_the_check_finds_a_file_that_is_no_environment(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    (path / SHAPES / "data.mdb").write_bytes(b"x" * 8192)
    assert ["is not an LMDB environment" in fault.what for fault in check_directory(path)] == [True]


@pytest.mark.parametrize("environment", [CATALOG, SHAPES])
def test_the_check_finds_a_file_cut_short(tmp_path: Path, environment: str) -> None:
    path = golden_copy(tmp_path / "data")
    with (path / environment / "data.mdb").open("r+b") as file:
        file.truncate(8192)
    assert ["its file is cut short" in fault.what for fault in check_directory(path)] == [True]


@pytest.mark.parametrize("page", [0, 1, 2])
@pytest.mark.parametrize("environment", [CATALOG, NOTES])
def test_the_check_finds_a_page_overwritten(tmp_path: Path, environment: str, page: int) -> None:
    path = golden_copy(tmp_path / "data")
    with (path / environment / "data.mdb").open("r+b") as file:
        file.seek(page * 4096)
        file.write(b"\xff" * 4096)
    assert [fault.where for fault in check_directory(path)] == [
        "catalog" if environment == CATALOG else "collection notes"
    ]


def test_pages_that_were_never_written_may_be_missing_at_the_end(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    leave_last_pages_unwritten(path / SHAPES)
    assert check_directory(path) == []


def test_the_check_finds_a_missing_catalog(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    (path / CATALOG / "data.mdb").unlink()
    assert [fault.where for fault in check_directory(path)] == ["catalog"]


def test_a_directory_of_a_first_start_that_ended_early_is_sound(tmp_path: Path) -> None:
    (tmp_path / "catalog.draft").mkdir()
    assert check_directory(tmp_path) == []


def test_the_check_finds_a_missing_or_readable_secret(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    (path / "secret").chmod(0o644)
    assert [fault.what for fault in check_directory(path)] == ["others than its owner may read it"]
    (path / "secret").unlink()
    assert [fault.where for fault in check_directory(path)] == ["secret"]


def test_folders_of_collections_half_made_or_half_removed_are_no_fault(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    for state in ("creating", "deleting"):
        with changing(path / CATALOG) as txn:
            drop(name_key(Space.ALIAS, "figures"))(txn)
            redraft(number_key(Space.COLLECTION, 2), store.CollectionDocument, state=state)(txn)
            if state == "deleting":
                txn.delete(name_key(Space.COLLECTION_NAME, "shapes"))
        assert check_directory(path) == []


@pytest.mark.parametrize("environment", [CATALOG, NOTES])
def test_the_check_refuses_a_newer_format(tmp_path: Path, environment: str) -> None:
    path = golden_copy(tmp_path / "data")
    with changing(path / environment) as txn:
        txn.put(META_FORMAT, encode_u64(FORMAT_VERSION + 1))
    with pytest.raises(FormatTooNew):
        check_directory(path)


def test_the_check_refuses_a_directory_in_use_and_one_that_is_not_there(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    holder = DataDirectory(path)
    with pytest.raises(DirectoryLocked):
        check_directory(path)
    holder.close()
    with pytest.raises(StorageFailure):
        check_directory(tmp_path / "nowhere")


def test_the_check_lists_a_bounded_number_of_faults_and_counts_the_rest(tmp_path: Path) -> None:
    path = golden_copy(tmp_path / "data")
    with changing(path / NOTES) as txn:
        for i in range(MAX_FAULTS + 5):
            txn.put(b"\x77" + encode_u32(i), b"")
    assert report_of(path, examine(path))[-2:] == [
        "… and 5 more",
        f"{path}: 2 collections, 3 tenants, 15 points, 1 caches, 6 entries: faults: {MAX_FAULTS + 5}",
    ]


def test_numbers_of_a_wrong_length_are_corrupt_data() -> None:
    from vdb.storage.codec import decode_u32, decode_u64, decode_usage

    for decode in (decode_u32, decode_u64, decode_usage):
        with pytest.raises(CorruptData):
            decode(b"123")
