"""Declared fields in payloads, datetimes, and the page that documents filters."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.engine import filters
from vdb.engine.filters import FIELD_TYPES, Op, check_fields
from vdb.errors import FieldTypeMismatch
from vdb.protocol.instants import parse_instant

PAGE = Path(__file__).parents[3] / "docs" / "filters.md"
POINTER = "/points/3/payload"


@pytest.mark.parametrize(
    ("declared", "admitted", "refused"),
    [
        ("number", [0, -1.5, 2**63 - 1], [True, "1", [1], {}]),
        ("integer", [0, -(2**63), 2**63 - 1], [1.0, False, "1", 2**63, [1]]),
        ("string", ["", "a"], [1, True, ["a"], {}]),
        ("boolean", [True, False], [0, 1, "true", []]),
        ("datetime", ["2024-05-01T12:00:00Z"], ["2024-05-01", "2024-05-01T12:00:00", "", 1714564800, True]),
        ("list", [[], [1, "a", None]], [{}, "a", 1, True]),
    ],
)
def test_a_declared_field_admits_its_type_and_null(declared: str, admitted: list[Any], refused: list[Any]) -> None:
    for value in [*admitted, None]:
        check_fields({"f": value}, {"f": declared}, POINTER)
    for value in refused:
        with pytest.raises(FieldTypeMismatch) as caught:
            check_fields({"f": value}, {"f": declared}, POINTER)
        assert caught.value.problems[0].pointer == "/points/3/payload/f"


def test_an_absent_declared_field_is_admitted() -> None:
    check_fields({"a": 1}, {"f": "string", "a.b": "string", "a.b.c": "list"}, POINTER)


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({"a": {"b~/": 1}}, "/points/3/payload/a/b~0~1"),
        ({"a.b~/": 1, "a": {"b~/": "x"}}, "/points/3/payload/a.b~0~1"),
    ],
)
def test_the_pointer_follows_the_path_that_was_taken(payload: dict[str, Any], pointer: str) -> None:
    with pytest.raises(FieldTypeMismatch) as caught:
        check_fields(payload, {"a.b~/": "string"}, POINTER)
    assert caught.value.problems[0].pointer == pointer


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01z", 1),
        ("1970-01-01 01:00:00+01:00", 0),
        ("1969-12-31T23:59:59-00:00", -1),
        ("0001-01-01T00:00:00+23:59", -62135683140),
        ("9999-12-31T23:59:59-23:59", 253402387139),
    ],
)
def test_a_datetime_is_read_as_an_instant(text: str, seconds: int) -> None:
    assert parse_instant(text) == seconds * 10**9


def test_a_fraction_counts_to_nine_digits() -> None:
    assert parse_instant("1970-01-01T00:00:00.5Z") == 500_000_000
    assert parse_instant("1970-01-01T00:00:00.0000000019Z") == 1


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T12:00:00",
        "2024-05-01",
        "2024-05-01T12:00Z",
        "2024-02-30T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "2024-05-01T24:00:00Z",
        "2024-05-01T12:00:60Z",
        "2024-05-01T12:00:00.Z",
        "2024-05-01T12:00:00+24:00",
        "2024-05-01T12:00:00Z\n",
        "٢٠٢٤-05-01T12:00:00Z",
        "2024-W18-3T12:00:00Z",
    ],
)
def test_what_rfc_3339_does_not_allow_is_no_datetime(text: str) -> None:
    assert parse_instant(text) is None


@given(st.datetimes(timezones=st.timezones()))
def test_instants_agree_with_the_standard_library(moment: datetime) -> None:
    try:
        text = moment.isoformat(timespec="microseconds")
        elapsed = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    except OverflowError:
        return
    expected = (elapsed.days * 86_400 + elapsed.seconds) * 10**9 + elapsed.microseconds * 1000
    # Zones before standard time have offsets with seconds, which RFC 3339 cannot write.
    assert parse_instant(text) == (expected if len(text) == 32 else None)


@given(st.text())
def test_any_text_is_an_instant_or_none(text: str) -> None:
    assert parse_instant(text) is None or len(text) >= 20


def test_the_page_documents_every_operator_type_and_limit() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in [*Op, *FIELD_TYPES, "and", "or", "not"]:
        assert f"`{name}`" in page or f'"{name}"' in page, name
    for limit in (filters.MAX_DEPTH, filters.MAX_CONDITIONS, filters.MAX_LIST, filters.MAX_FIELD_CHARS):
        assert f"| {limit}" in page, limit


def test_the_public_names_are_those_of_all() -> None:
    modules = {"ast", "compile", "declared", "parse", "rowset"}
    public = {name for name in vars(filters) if not name.startswith("_")} - modules
    assert public == set(filters.__all__)
