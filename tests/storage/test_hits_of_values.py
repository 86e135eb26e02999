"""What an answer says of a stored record, decoded alone, is what decoding all of it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import CorruptData
from vdb.storage.codec import Record, decode_hit, decode_record, encode_record

RECORDS = st.builds(
    Record,
    id=st.binary(max_size=60),
    version=st.integers(0, 2**64 - 1),
    vector_version=st.integers(0, 2**64 - 1),
    expires_at_ms=st.integers(0, 2**62),
    shared=st.lists(st.integers(0, 2**32 - 1), max_size=5).map(lambda ids: tuple(sorted(ids))),
    payload=st.binary(max_size=200),
    has_vector=st.booleans(),
    vector_checksum=st.integers(0, 2**32 - 1),
)


@given(record=RECORDS)
def test_a_hit_is_decoded_as_its_record_is(record: Record) -> None:
    stored = encode_record(record)
    whole = decode_record(stored)
    assert decode_hit(stored) == (whole.id, whole.version, whole.expires_at_ms, whole.payload)


@given(record=RECORDS, place=st.integers(0, 300), bit=st.integers(0, 7))
def test_a_damaged_record_is_no_hit(record: Record, place: int, bit: int) -> None:
    stored = bytearray(encode_record(record))
    stored[place % len(stored)] ^= 1 << bit
    with pytest.raises(CorruptData):
        decode_hit(bytes(stored))
    with pytest.raises(CorruptData):
        decode_hit(bytes(stored[:20]))
