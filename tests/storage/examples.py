"""The worked example of docs/storage-format.md: a point, a cache's entry and one of each catalog entry, as bytes."""

from zlib import crc32

import numpy as np
from pyroaring import BitMap

from tests.storage.cache_examples import ANSWER, ENTRY
from tests.storage.cache_examples import VECTOR as ENTRY_VECTOR
from vdb.storage.cache_codec import encode_cache_usage, encode_entry, encode_group, seal, usage_of
from vdb.storage.catalog import JobDocument, UsageDocument
from vdb.storage.changes import LoggedChange, encode_change
from vdb.storage.codec import Record, encode_document, encode_record, encode_u32, encode_u64, encode_usage
from vdb.storage.field_values import Tag, encode_string
from vdb.storage.keyspace import (
    EVERYONE_ID,
    META_NEXT_PID,
    TEXT_INDEX_KEY,
    Space,
    category_key,
    change_key,
    entry_expiry_key,
    entry_key,
    exact_key,
    expiry_key,
    grant_key,
    index_prefix,
    label_key,
    name_key,
    number_key,
    point_id_prefix,
    postings_prefix,
    record_key,
    source_key,
    tenant_key_key,
    tenant_usage_key,
    text_statistics_key,
    usage_key,
    vector_key,
)
from vdb.storage.payload_index import LOW_BITS, encode_pids
from vdb.storage.templates import TemplateDocument, key_of_template
from vdb.storage.text_index import TextIndex, encode_statistics
from vdb.storage.text_postings import LAST_BLOCK, term_hash
from vdb.types import IndexState

VECTOR = np.array([1.0, -0.5], "<f4").tobytes()
RECORD = Record(
    id="é1".encode(),
    version=7,
    vector_version=5,
    expires_at_ms=4_102_444_800_000,
    shared=(3, EVERYONE_ID),
    payload=b'{"lang":"en"}',
    has_vector=True,
    vector_checksum=crc32(VECTOR),
)
OWNER, PID = 2, 9
PLACE = (ENTRY.tenant, ENTRY.number)
HEAD = encode_entry(ENTRY)
CHANGE = LoggedChange(
    owner=OWNER,
    pids=np.array([8, PID], np.uint32),
    expires_at_ms=np.array([0, RECORD.expires_at_ms], np.int64),
    puts={OWNER: None, -3: [1], -EVERYONE_ID: [1]},
    kills={-4: [8]},
)
JOB = JobDocument(
    id=4, kind="delete_tenant", state="queued", collection_id=None, tenant_id=3, created_at_ms=1_767_225_600_000
)
MONTH = UsageDocument(tenant_id=OWNER, month=202601, requests=3, reads=2, writes=10, bytes_in=700, bytes_out=90)
TEXT = TextIndex(fields={"text": 1, "title": 3}, language="english", version="1", state=IndexState.READY)

TEMPLATE = TemplateDocument(
    collection_id=1, name="brief", version=2, system="Be brief: {context}", passage="[{n}] {text}",
    question="{question}", not_found="No.", created_at_ms=1_767_225_600_000,
)  # fmt: skip

ENTRIES: dict[str, tuple[bytes, bytes]] = {
    "META": (META_NEXT_PID, encode_u64(10)),
    "POINT_ID": (point_id_prefix(OWNER) + RECORD.id, encode_u32(PID)),
    "RECORD": (record_key(OWNER, PID), encode_record(RECORD)),
    "VECTOR": (vector_key(OWNER, PID), VECTOR),
    "GRANT": (grant_key(3, PID), encode_u32(OWNER)),
    "EXPIRY": (expiry_key(RECORD.expires_at_ms, PID), encode_u32(OWNER)),
    "USAGE": (usage_key(OWNER), encode_usage(RECORD.usage)),
    "CHANGE": (change_key(RECORD.vector_version), encode_change(CHANGE)),
    "PAYLOAD_INDEX": (
        index_prefix(1) + bytes((Tag.STRING,)) + encode_string("en")[0] + (PID >> LOW_BITS).to_bytes(2, "big"),
        encode_pids(BitMap([PID, 300])),
    ),
    "TEXT_INDEX": (TEXT_INDEX_KEY, encode_document(TEXT)),
    "TEXT_STATISTICS": (text_statistics_key(EVERYONE_ID), encode_statistics(1, 12)),
    "POSTINGS": (postings_prefix(EVERYONE_ID, term_hash("cat")) + LAST_BLOCK, encode_u64(PID << 32 | 12 << 16 | 2)),
    "COLLECTION_NAME": (name_key(Space.COLLECTION_NAME, "notes"), encode_u32(1)),
    "TENANT_NAME": (name_key(Space.TENANT_NAME, "acme"), encode_u32(OWNER)),
    "KEY_HASH": (name_key(Space.KEY_HASH, "5f3a"), b"key-01"),
    "ALIAS": (name_key(Space.ALIAS, "docs"), encode_u32(1)),
    "TENANT_KEY": (tenant_key_key(OWNER, "key-01"), b""),
    "JOB": (number_key(Space.JOB, JOB.id), encode_document(JOB)),
    "TENANT_USAGE": (tenant_usage_key(OWNER, MONTH.month), encode_document(MONTH)),
    "CACHE_NAME": (name_key(Space.CACHE_NAME, "answers"), encode_u32(3)),
    "TEMPLATE": (key_of_template(TEMPLATE), encode_document(TEMPLATE)),
    "ENTRY": (entry_key(Space.ENTRY, *PLACE), HEAD),
    "ENTRY_VECTOR": (entry_key(Space.ENTRY_VECTOR, *PLACE), seal(ENTRY_VECTOR)),
    "ENTRY_ANSWER": (entry_key(Space.ENTRY_ANSWER, *PLACE), seal(ANSWER)),
    "ENTRY_GROUP": (entry_key(Space.ENTRY_GROUP, *PLACE), encode_group(9, 8)),
    "ENTRY_EXACT": (exact_key(ENTRY.tenant, ENTRY.exact), encode_u64(ENTRY.number)),
    "ENTRY_EXPIRY": (entry_expiry_key(ENTRY.expires_at_ms, *PLACE), b""),
    "ENTRY_SOURCE": (source_key(1, OWNER, RECORD.id, *PLACE), b""),
    "CACHE_USAGE": (
        category_key(Space.CACHE_USAGE, ENTRY.tenant, ENTRY.category),
        encode_cache_usage(usage_of(ENTRY, len(HEAD))),
    ),
    "LABEL": (label_key(ENTRY.tenant, ENTRY.category, 1), seal(b"{}")),
    "POLICY": (name_key(Space.POLICY, ENTRY.category), seal(b"{}")),
    "CACHE_STATISTICS": (category_key(Space.CACHE_STATISTICS, ENTRY.tenant, ENTRY.category), seal(b"{}")),
}
"""Space → (key, value)."""


def lines() -> list[str]:
    """The example as the document shows it: `SPACE key value`, hexadecimal, `-` for an empty value."""
    return [f"{space} {key.hex()} {value.hex() or '-'}" for space, (key, value) in ENTRIES.items()]
