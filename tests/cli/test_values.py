"""Values of options: what is taken, what is refused."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime

import pytest

from vdb.cli.values import (
    count_or_none,
    field_type,
    json_value,
    moment,
    names,
    number_or_none,
    pair,
    size_or_none,
    text_field,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000000", 1_000_000),
        ("12B", 12),
        ("500MB", 500_000_000),
        ("10GiB", 10 << 30),
        ("10G", 10 << 30),
        ("10g", 10 << 30),
        ("1.5 KiB", 1536),
        ("none", None),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    assert size_or_none(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1e9", "10 GiBi", "GiB", "1..5G", "9" * 30, "9999999P", "٣", "1_000"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        size_or_none(text)


def test_counts() -> None:
    assert [count_or_none(text) for text in ("none", "0", "12")] == [None, 0, 12]
    for text in ("", "-1", "1.5", "1e3", "٣", "9" * 5000):
        with pytest.raises(ArgumentTypeError):
            count_or_none(text)


def test_times_have_a_zone() -> None:
    assert moment("2027-01-31T12:00:00Z") == datetime(2027, 1, 31, 12, tzinfo=UTC)
    assert moment("2027-01-31") == datetime(2027, 1, 31).astimezone()
    for text in ("", "tomorrow", "2027-13-01", "0001-01-01"):
        with pytest.raises(ArgumentTypeError):
            moment(text)


def test_names_and_pairs() -> None:
    assert names("acme,globex,") == ["acme", "globex"] and names("") == []
    assert field_type("a=b=integer") == ("a=b", "integer") and pair("team=a=b") == ("team", "a=b")
    for text in ("year", "=integer"):
        for of_option in (field_type, pair):
            with pytest.raises(ArgumentTypeError):
                of_option(text)


def test_text_fields_have_a_weight() -> None:
    assert [text_field(text) for text in ("text", "meta.title=3", "a=b=20")] == [
        ("text", 1), ("meta.title", 3), ("a=b", 20),
    ]  # fmt: skip
    for text in ("", "=3", "title=", "title=x", "title=-1", "title=٣", "title=1000"):
        with pytest.raises(ArgumentTypeError):
            text_field(text)


def test_numbers_are_finite_and_not_negative() -> None:
    assert [number_or_none(text) for text in ("none", "0", "1.5", "1e3")] == [None, 0.0, 1.5, 1000.0]
    for text in ("", "x", "-1", "inf", "nan", "1e999"):
        with pytest.raises(ArgumentTypeError):
            number_or_none(text)


def test_json_is_strict() -> None:
    assert json_value('{"field": "lang", "eq": "en"}') == {"field": "lang", "eq": "en"}
    for text in ("", "{", "NaN", "[Infinity]", "1e999", "[" * 100_000):
        with pytest.raises(ArgumentTypeError):
            json_value(text)
