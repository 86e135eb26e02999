"""Scroll cursors open only for the query, tenant and server they were made for."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.engine.cursor import decode_cursor, encode_cursor
from vdb.errors import InvalidCursor

SECRET = b"s" * 32
QUERY = b"tenant 7, collection 3, no filter"
POSITIONS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8).map(tuple)


def assert_refused(text: object, query_key: bytes = QUERY, secret: bytes = SECRET) -> None:
    with pytest.raises(InvalidCursor) as caught:
        decode_cursor(text, query_key, secret)  # type: ignore[arg-type]
    assert caught.value.problems[0].pointer == "/cursor"


@given(POSITIONS, st.binary(), st.binary(min_size=1, max_size=64))
def test_a_cursor_returns_its_position(position: tuple[int, ...], query_key: bytes, secret: bytes) -> None:
    assert decode_cursor(encode_cursor(query_key, position, secret), query_key, secret) == position


@given(POSITIONS, st.binary())
def test_a_cursor_of_another_query_is_refused(position: tuple[int, ...], query_key: bytes) -> None:
    assert_refused(encode_cursor(query_key + b"x", position, SECRET), query_key)


def test_bytes_cannot_move_between_the_query_key_and_the_position() -> None:
    text = encode_cursor(QUERY, (1, 2), SECRET)
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    moved = base64.urlsafe_b64encode(raw[8:]).rstrip(b"=").decode()
    assert_refused(moved, QUERY + raw[:8])


def test_a_cursor_of_another_server_is_refused() -> None:
    assert_refused(encode_cursor(QUERY, (1,), b"t" * 32))


@given(POSITIONS, st.data())
def test_a_cursor_with_any_character_changed_is_refused(position: tuple[int, ...], data: st.DataObject) -> None:
    text = encode_cursor(QUERY, position, SECRET)
    index = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda char: char != text[index]))
    assert_refused(text[:index] + other + text[index + 1 :])


@given(st.text() | st.text(alphabet="ABCXYZabcxyz0129_-", max_size=90))
def test_any_other_text_is_refused(text: str) -> None:
    assert_refused(text)


@pytest.mark.parametrize("text", ["", "=", "A", "A" * 100_000, "\ud800", None, 7, b"AAAA"])
def test_odd_values_are_refused(text: object) -> None:
    assert_refused(text)


def test_padding_and_spaces_are_not_another_spelling_of_a_cursor() -> None:
    text = encode_cursor(QUERY, (1, 2, 3), SECRET)
    for other in (text + "=", text + "==", text + "\n", " " + text, text + "A"):
        assert_refused(other)
