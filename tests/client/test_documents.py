"""Documents cut into requests: by number and size, with pointers into the caller's own list."""

from base64 import b64decode
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from vdb.client import document_calls
from vdb.client.document_calls import in_pieces, moved, pieces
from vdb.client.wire import encode
from vdb.errors import InvalidArgument, Problem, QueueFull
from vdb.protocol.document_answers import DocumentsPut, Fault, PutResult, Refusal

NO_SIZES: dict[str, int | None] = {"size": None, "overlap": None}


def _bodies(documents: list[dict[str, Any]], **given: Any) -> list[dict[str, Any]]:
    return [msgspec.json.decode(encode(p.call.fields)) for p in pieces("docs", documents, NO_SIZES | given, None)]


def test_requests_end_by_number_and_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_calls, "MAX_REQUEST_BYTES", 370)
    monkeypatch.setattr(document_calls, "MAX_REQUEST_DOCUMENTS", 3)
    documents = [{"id": str(i), "text": "x" * (300 if i == 4 else 10)} for i in range(7)]
    assert [[d["id"] for d in body["documents"]] for body in _bodies(documents)] == [
        ["0", "1", "2"],
        ["3", "4"],
        ["5", "6"],
    ]
    assert [piece.start for piece in pieces("docs", documents, NO_SIZES, None)] == [0, 3, 5]
    assert _bodies([]) == [{"documents": []}]
    assert _bodies([{"id": "a"}], size=7)[0]["chunking"] == {"size": 7}


def test_bytes_and_vectors_become_base64_and_none_is_left_out() -> None:
    given = {"id": "a", "data": b"\x00\xff", "title": None, "payload": {"n": None}}
    chunked = {"id": "b", "chunks": [{"text": "One.", "vector": np.array([1, 2], np.float64), "page": None}]}
    first, second = _bodies([given, chunked])[0]["documents"]
    assert first == {"id": "a", "data": "AP8=", "payload": {"n": None}}
    (chunk,) = second["chunks"]
    assert chunk.keys() == {"text", "vector"}
    assert np.frombuffer(b64decode(chunk["vector"]), "<f4").tolist() == [1.0, 2.0]


def test_what_is_no_document_is_refused_before_it_is_sent() -> None:
    for document, pointer in (
        ("text", "/documents/1"),
        ({"expires_at": datetime(2030, 1, 1)}, "/documents/1/expires_at"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            list(pieces("docs", [{"id": "a"}, document], NO_SIZES, None))  # type: ignore[list-item]
        assert [fault.pointer for fault in caught.value.problems] == [pointer]
    with pytest.raises(InvalidArgument):
        list(pieces("docs", "abc", NO_SIZES, None))  # type: ignore[arg-type]


def test_pointers_count_in_the_callers_list() -> None:
    fault = Fault(pointer="/documents/2/payload/n", detail="x")
    refusal = Refusal(code="invalid_argument", detail="x", errors=[fault])
    result = PutResult(id="a", status="failed", n_chunks=0, n_embedded=0, error=refusal)
    moved(DocumentsPut(sequence=1, documents=[result]), 256)
    assert fault.pointer == "/documents/258/payload/n"
    error = InvalidArgument("wrong", problems=(Problem("/documents/0/text", "wrong"), Problem("/owner", "wrong")))
    told = in_pieces(error, 256)
    assert [p.pointer for p in told.problems] == ["/documents/256/text", "/owner"]
    assert isinstance(told, InvalidArgument) and "documents before number 256 were put" in told.detail
    assert in_pieces(error, 0) is error
    assert in_pieces(QueueFull("busy", retry_after_s=2.0), 3).retry_after_s == 2.0
