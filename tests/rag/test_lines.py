"""JSON Lines as documents."""

from io import BytesIO

from vdb.errors import DocumentTooLarge, VdbError
from vdb.rag.extract import lines_of


def _codes(data: bytes, **options: int) -> list[tuple[int, str]]:
    return [
        (number, line.code if isinstance(line, VdbError) else str(line["id"]))
        for number, line in lines_of(data, **options)
    ]


def test_both_spellings_are_read_and_other_members_are_payload() -> None:
    first = b'\xef\xbb\xbf{"_id": "a", "title": "T", "text": "one", "lang": "en"}'
    data = first + b'\n\n{"id": 7, "contents": "two", "title": ""}'
    assert list(lines_of(data)) == [
        (1, {"id": "a", "text": "one", "title": "T", "payload": {"lang": "en"}}),
        (3, {"id": "7", "text": "two", "title": None, "payload": {}}),
    ]


def test_a_line_may_name_no_id() -> None:
    assert list(lines_of(b'{"text": "x"}')) == [(1, {"id": None, "text": "x", "title": None, "payload": {}})]


def test_a_bad_line_is_an_error_and_the_next_one_is_read() -> None:
    lines = [
        b'{"id": "a", "text": "x"}',
        b"{",
        b"[1]",
        b'{"id": "", "text": "x"}',
        b'{"id": true, "text": "x"}',
        b'{"id": "b", "text": 1}',
        b'{"id": "b", "text": "x", "title": 1}',
        b'{"id": "b", "id": "c", "text": "x"}',
        b'{"id": "\xff", "text": "x"}',
        b'{"id": "b", "text": "\\ud800"}',
        b'{"id": "z", "text": ""}',
    ]
    assert _codes(b"\r\n".join(lines)) == [
        (1, "a"),
        (2, "invalid_json"),
        (3, "invalid_json"),
        (4, "invalid_argument"),
        (5, "invalid_argument"),
        (6, "unreadable_document"),
        (7, "invalid_argument"),
        (8, "duplicate_key"),
        (9, "invalid_json"),
        (10, "invalid_json"),
        (11, "z"),
    ]


def test_a_line_that_is_too_long_is_passed_over() -> None:
    data = b'{"id": "a", "text": "' + b"x" * 1_000 + b'"}\n{"id": "b", "text": "y"}\n'
    assert _codes(data, max_line_bytes=100) == [(1, DocumentTooLarge.code), (2, "b")]
    assert [number for number, _ in lines_of(BytesIO(data), max_line_bytes=100)] == [1, 2]
