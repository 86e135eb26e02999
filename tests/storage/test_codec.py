"""Values: what is written is read back, and damage is noticed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import CorruptData
from vdb.storage.catalog import CollectionDocument, KeyDocument, TenantDocument
from vdb.storage.codec import (
    HEAD_BYTES,
    Record,
    Usage,
    decode_document,
    decode_record,
    decode_u32,
    decode_u64,
    decode_usage,
    encode_document,
    encode_record,
    encode_u32,
    encode_u64,
    encode_usage,
)
from vdb.types import Role, Tier

U32, U64, I64 = (st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1))
RECORDS = st.builds(
    Record,
    id=st.binary(min_size=1, max_size=256),
    version=U64,
    vector_version=U64,
    expires_at_ms=I64,
    shared=st.lists(U32, max_size=20, unique=True).map(lambda ids: tuple(sorted(ids))),
    payload=st.binary(max_size=200),
    has_vector=st.booleans(),
    vector_checksum=U32,
)
TENANT = TenantDocument(id=1, name="acme", state="active", max_points=None, max_bytes=5, created_at_ms=3)


@given(RECORDS)
def test_a_record_reads_back(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


@given(RECORDS, st.data())
def test_a_record_with_one_bit_changed_is_corrupt(record: Record, data: st.DataObject) -> None:
    value = bytearray(encode_record(record))
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    value[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptData):
        decode_record(bytes(value))


@given(st.binary(max_size=2 * HEAD_BYTES))
def test_bytes_that_are_no_record_are_corrupt(value: bytes) -> None:
    with pytest.raises(CorruptData):
        decode_record(value)


def test_a_point_is_expired_from_its_very_millisecond() -> None:
    record = Record(b"a", 1, 1, 1000, (), b"", False, 0)
    assert [record.is_expired(now_ms) for now_ms in (999, 1000, 1001)] == [False, True, True]
    assert not Record(b"a", 1, 1, 0, (), b"", False, 0).is_expired(2**62)


def test_numbers_read_back() -> None:
    assert decode_u32(encode_u32(2**32 - 1)) == 2**32 - 1
    assert (decode_u64(encode_u64(2**64 - 1)), decode_u64(None)) == (2**64 - 1, 0)
    usage = Usage(3, 2, 2**40, 5, 7)
    assert (decode_usage(encode_usage(usage)), decode_usage(None)) == (usage, Usage())


def test_a_document_reads_back_and_fields_it_lacks_take_their_defaults() -> None:
    key = KeyDocument(id="k", name="", role=Role.READ, tenant_id=1, hash="ab", created_at_ms=1, last_used_at_ms=9)
    assert decode_document(encode_document(key), KeyDocument) == key
    assert decode_document(encode_document(TENANT), TenantDocument) == TENANT


def test_a_collection_of_before_there_were_tiers_leaves_the_choice_and_has_no_cap() -> None:
    class Older(msgspec.Struct):
        id: int = 1
        name: str = "notes"
        state: str = "active"
        dimension: int = 3
        metric: str = "cosine"
        sharing: str = "managed"
        fields: dict[str, str] = {}
        tenants: list[int] | None = None
        created_at_ms: int = 1

    read = decode_document(encode_document(Older()), CollectionDocument)
    assert (read.tier, read.memory_bytes) == (Tier.AUTO, None)


@pytest.mark.parametrize("value", [b"", b"abc", encode_document(TENANT)[:-1], b"0000" + encode_document(TENANT)[4:]])
def test_a_damaged_document_is_corrupt(value: bytes) -> None:
    with pytest.raises(CorruptData):
        decode_document(value, TenantDocument)


def test_a_document_of_another_shape_is_corrupt() -> None:
    class Other(msgspec.Struct):
        id: str

    with pytest.raises(CorruptData):
        decode_document(encode_document(Other("x")), TenantDocument)
