"""docs/storage-format.md says what the code does."""

import re
import struct
from pathlib import Path

import numpy as np

import vdb.storage.keyspace as keyspace
from tests.storage import examples
from tests.storage.changes import plain
from vdb.storage import arrays, list_pages, lists, vectors_file
from vdb.storage import catalog as store
from vdb.storage.cache_codec import CacheEntry, Retrieval, Source
from vdb.storage.changes import decode_change
from vdb.storage.codec import FORMAT_VERSION, HEAD_BYTES, decode_document, decode_record
from vdb.storage.keyspace import Space
from vdb.storage.payload_index import IndexDocument
from vdb.storage.templates import TemplateDocument
from vdb.storage.text_index import TextIndex

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "storage-format.md").read_text(encoding="utf-8")


def test_the_document_names_every_space_with_its_byte() -> None:
    missing = [space.name for space in Space if f"| `{space.name}` | `{space:02x}` |" not in DOCUMENT]
    assert missing == []


def test_the_document_names_every_number_an_environment_keeps() -> None:
    names = [value[1:].decode() for name, value in vars(keyspace).items() if name.startswith("META_")]
    assert len(names) == 16 and [name for name in names if f"| `{name}` | " not in DOCUMENT] == []


def test_the_document_names_every_field_of_the_documents() -> None:
    shapes = (
        store.CollectionDocument, store.EmbeddingDocument, store.TenantDocument, store.RateDocument, store.KeyDocument,
        store.JobDocument, store.UsageDocument, store.CacheDocument, store.TextDocument, IndexDocument, TextIndex,
        store.AnsweringDocument, TemplateDocument,
    )  # fmt: skip
    fields = {field for shape in shapes for field in shape.__struct_fields__}
    assert sorted(field for field in fields if f"`{field}`" not in DOCUMENT) == []


def test_the_worked_example_is_what_the_code_writes() -> None:
    block = re.search(r"```\n(META .*?)\n```", DOCUMENT, re.DOTALL)
    assert block is not None and block[1].splitlines() == examples.lines()


def test_the_worked_example_covers_every_space_but_the_other_documents() -> None:
    assert {space.name for space in Space} - set(examples.ENTRIES) == {"COLLECTION", "TENANT", "KEY", "CACHE"}


def test_the_worked_example_reads_back() -> None:
    assert decode_record(examples.ENTRIES["RECORD"][1]) == examples.RECORD
    assert decode_document(examples.ENTRIES["JOB"][1], store.JobDocument) == examples.JOB


def test_the_record_taken_apart_in_the_document_is_the_record() -> None:
    text = DOCUMENT[DOCUMENT.index("The record, taken apart") : DOCUMENT.index("The change, taken apart")]
    apart = "".join(re.findall(r"`([0-9a-f]{2,16})`", text))
    assert examples.ENTRIES["RECORD"][1].hex() == apart + examples.RECORD.payload.hex()


def test_the_change_taken_apart_in_the_document_is_the_change() -> None:
    text = DOCUMENT[DOCUMENT.index("The change, taken apart") : DOCUMENT.index("## The log of changes")]
    apart = "".join(re.findall(r"`([0-9a-f]{2,})`", text))
    assert examples.ENTRIES["CHANGE"][1].hex() == apart
    assert plain(decode_change(examples.ENTRIES["CHANGE"][1])) == plain(examples.CHANGE)


def test_the_document_names_the_files_of_arrays_and_of_vectors_with_their_layouts() -> None:
    for module in (arrays, vectors_file):
        assert f"| 0 | 8 bytes | `{module.MAGIC.decode()}` |\n| 8 | u32 | layout, {module.LAYOUT} |" in DOCUMENT
    listed = re.search(r"`dtype` is as in NumPy, one of `([^`]*)`", DOCUMENT)
    assert listed is not None and set(listed[1].split()) == arrays.DTYPES


def test_the_document_takes_a_page_of_a_posting_list_apart() -> None:
    assert f"| 8 | 4 bytes | `{list_pages.MAGIC.decode()}` |\n| 12 | u16 | layout, {list_pages.LAYOUT} |" in DOCUMENT
    assert f"with\nformat {lists.FORMAT};" in DOCUMENT
    assert ", ".join(f"`{key:08x}`" for key in list_pages.SUM_KEYS[:3]) in DOCUMENT
    codes, column = np.array([[1, 2, 3, 4]], np.uint8), np.array([5], np.uint32)
    value = list_pages.packed(list_pages.Shape(4, 1), 7, 0, codes, [column])[0].tobytes()
    assert f"PAGE {value[:52].hex()}\n" in DOCUMENT
    assert value[48 + 504 * 4 :][:4].hex() == "05000000", "its column lies behind the codes of 504 rows"


def test_the_document_lists_the_fields_of_an_entry_of_a_cache_in_their_order() -> None:
    for shape in (CacheEntry, Retrieval, Source):
        listed = ", ".join(f"`{name}`" for name in shape.__struct_fields__)
        assert listed in DOCUMENT.replace("\n", " "), shape.__name__


def test_format_version_and_record_head_are_as_documented() -> None:
    assert f"# Storage format, version {FORMAT_VERSION}\n" in DOCUMENT
    assert struct.calcsize("<IBBHHQQqI") == HEAD_BYTES and f"Record** of a point: {HEAD_BYTES} bytes" in DOCUMENT
