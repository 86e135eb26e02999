"""Documents that must be refused: the code and the pointer each fails with, in every way to reach the engine.

The collection has dimension 3, no embedder, and the declared fields `lang` (string) and `page` (integer).
"""

from typing import Any

X = [1.0, 0.0, 0.0]


def _chunk(**changed: Any) -> dict[str, Any]:
    return {"id": "d", "chunks": [{"text": "One."}, {"text": "Two.", **changed}]}


BAD_DOCUMENTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("an empty id", {"id": "", "text": "x"}, "invalid_id", "/id"),
    ("a long id", {"id": "d" * 241, "text": "x"}, "invalid_id", "/id"),
    ("a control character", {"id": "d\n", "text": "x"}, "invalid_id", "/id"),
    ("nothing", {"id": "d"}, "invalid_argument", "/text"),
    ("two sources", {"id": "d", "text": "x", "chunks": [{"text": "x"}]}, "invalid_argument", "/chunks"),
    ("text and data", {"id": "d", "text": "x", "data": b"x"}, "invalid_argument", "/data"),
    ("no base64", {"id": "d", "data": "!!"}, "invalid_argument", "/data"),
    ("an empty text", {"id": "d", "text": ""}, "unreadable_document", ""),
    ("white space", {"id": "d", "text": " \n\t"}, "unreadable_document", ""),
    ("bytes that are no text", {"id": "d", "data": b"\x00\x01\x02\xff"}, "unreadable_document", ""),
    ("a strange media type", {"id": "d", "text": "x", "media_type": "image/png"}, "unreadable_document", ""),
    ("no PDF", {"id": "d.pdf", "data": b"not a PDF"}, "unreadable_document", ""),
    ("a broken PDF", {"id": "d", "data": b"%PDF-1.7 broken"}, "unreadable_document", ""),
    ("a page without text", {"id": "d.html", "data": b"<html><script>x</script>"}, "unreadable_document", ""),
    ("a short hash", {"id": "d", "text": "x", "content_hash": "ab"}, "invalid_argument", "/content_hash"),
    ("another hash", {"id": "d", "text": "x", "content_hash": "0" * 64}, "invalid_argument", "/content_hash"),
    ("a reserved name", {"id": "d", "text": "x", "payload": {"chunk": 1}}, "invalid_argument", "/payload/chunk"),
    ("the text field", {"id": "d", "text": "x", "payload": {"text": "y"}}, "invalid_argument", "/payload/text"),
    ("a payload that is a list", {"id": "d", "text": "x", "payload": [1]}, "invalid_argument", "/payload"),
    ("a large number", {"id": "d", "text": "x", "payload": {"n": 2**64}}, "integer_out_of_range", "/payload/n"),
    ("a declared field", {"id": "d", "text": "x", "payload": {"lang": 5}}, "field_type_mismatch", "/payload/lang"),
    ("a large payload", {"id": "d", "text": "x", "payload": {"a": "x" * 65_536}}, "payload_too_large", "/payload"),
    ("an expiry of 1969", {"id": "d", "text": "x", "expires_at": "1969-12-31T00:00:00Z"}, "invalid_argument",
     "/expires_at"),
    ("no chunks", {"id": "d", "chunks": []}, "unreadable_document", "/chunks"),
    ("a chunk without text", _chunk(text=" "), "unreadable_document", "/chunks/1/text"),
    ("a wrong dimension", _chunk(vector=[1.0]), "dimension_mismatch", "/chunks/1/vector"),
    ("a number beyond float32", _chunk(vector=[1e300, 0, 0]), "non_finite_vector", "/chunks/1/vector"),
    ("a start alone", _chunk(start=3), "invalid_argument", "/chunks/1/end"),
    ("an end before the start", _chunk(start=3, end=2), "invalid_argument", "/chunks/1/end"),
    ("a negative start", _chunk(start=-1, end=2), "invalid_argument", "/chunks/1/start"),
    ("an end beyond all files", _chunk(start=0, end=2**63), "invalid_argument", "/chunks/1/end"),
    ("page 0", _chunk(page=0), "invalid_argument", "/chunks/1/page"),
    ("a chunk's reserved name", _chunk(payload={"hash": "x"}), "invalid_argument", "/chunks/1/payload/hash"),
    ("a chunk's declared field", _chunk(payload={"lang": 5}), "field_type_mismatch", "/chunks/1/payload/lang"),
    ("a chunk that is large", _chunk(text="x" * 65_536), "payload_too_large", "/chunks/1/payload"),
]  # fmt: skip
