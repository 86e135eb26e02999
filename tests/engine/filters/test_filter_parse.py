"""Reading filters: the wire form, its faults and where they are reported, and the canonical key."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.engine.filters import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_FIELD_CHARS,
    MAX_LIST,
    And,
    Condition,
    Kind,
    Not,
    Op,
    Or,
    Scalar,
    parse_filter,
)
from vdb.errors import FieldTypeMismatch, IntegerOutOfRange, InvalidArgument, InvalidFilter, UnknownField

DECLARED = {
    "year": "integer",
    "score": "number",
    "lang": "string",
    "live": "boolean",
    "at": "datetime",
    "tags": "list",
    "a.b": "string",
}


def refused(obj: object, fields: dict[str, str] | None = None) -> tuple[type[InvalidArgument], str]:
    """The class and the pointer of the error that `obj` raises."""
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(obj, fields or {})
    (problem,) = caught.value.problems
    assert problem.detail
    return type(caught.value), problem.pointer


def nested(n_nots: int) -> dict[str, Any]:
    obj: dict[str, Any] = {"field": "a", "eq": 1}
    for _ in range(n_nots):
        obj = {"not": obj}
    return obj


def number(value: float) -> Scalar:
    return Scalar(Kind.NUMBER, value)


def test_the_wire_form_becomes_an_ast() -> None:
    parsed = parse_filter({"and": [{"field": "year", "lt": 9, "gte": 2}, {"or": [nested(0), nested(1)]}]}, {})
    one = Condition("a", Op.EQ, (number(1),))
    years = And((Condition("year", Op.GTE, (number(2),)), Condition("year", Op.LT, (number(9),))))
    assert parsed.root == And((years, Or((one, Not(one)))))


@pytest.mark.parametrize(
    ("obj", "pointer"),
    [
        (None, "/filter"),
        ([], "/filter"),
        ("lang = en", "/filter"),
        ({}, "/filter"),
        ({"eq": 1}, "/filter"),
        ({1: 2}, "/filter"),
        ({"and": []}, "/filter/and"),
        ({"or": {}}, "/filter/or"),
        ({"not": []}, "/filter/not"),
        ({"and": [{"field": "a", "eq": 1}, 7]}, "/filter/and/1"),
        ({"and": [nested(0)], "or": [nested(0)]}, "/filter"),
        ({"and": [nested(0)], "field": "a"}, "/filter"),
        ({"field": "a"}, "/filter"),
        ({"field": "", "eq": 1}, "/filter/field"),
        ({"field": 3, "eq": 1}, "/filter/field"),
        ({"field": "\ud800", "eq": 1}, "/filter/field"),
        ({"field": "x" * (MAX_FIELD_CHARS + 1), "eq": 1}, "/filter/field"),
    ],
)
def test_a_wrong_shape_is_an_invalid_filter_at_its_place(obj: object, pointer: str) -> None:
    assert refused(obj) == (InvalidFilter, pointer)


@pytest.mark.parametrize(
    ("op", "operand", "place"),
    [
        *((op, None, "") for op in Op),
        *((op, {}, "") for op in Op),
        *((op, True, "") for op in ("gt", "gte", "lt", "lte", "prefix", "in", "nin")),
        *((op, [1], "") for op in ("eq", "ne", "gt", "contains", "prefix", "exists", "is_null")),
        *((op, 1, "") for op in ("in", "nin", "prefix", "exists", "is_null")),
        ("in", [1, None], "/1"),
        ("nin", [1, "a", [2]], "/2"),
        ("in", [1] * (MAX_LIST + 1), ""),
        ("eq", float("nan"), ""),
        ("lt", float("inf"), ""),
        ("eq", "\udfff", ""),
    ],
)
def test_an_operand_that_does_not_suit_its_operator_is_refused(op: str, operand: object, place: str) -> None:
    assert refused({"and": [{"field": "a", op: operand}]}) == (InvalidFilter, f"/filter/and/0/{op}{place}")


def test_the_refusal_of_null_names_the_operator_to_use() -> None:
    with pytest.raises(InvalidFilter, match="is_null"):
        parse_filter({"field": "a", "eq": None}, {})


def test_an_unknown_operator_is_an_unknown_field_with_an_escaped_pointer() -> None:
    assert refused({"field": "a", "like": "x"}) == (UnknownField, "/filter/like")
    assert refused({"not": {"field": "a", "eq": 1, "b/c~": 1}}) == (UnknownField, "/filter/not/b~1c~0")


def test_an_integer_operand_beyond_64_bits_is_out_of_range() -> None:
    assert refused({"field": "a", "in": [0, 2**63]}) == (IntegerOutOfRange, "/filter/in/1")
    assert parse_filter({"field": "a", "in": [-(2**63), 2**63 - 1]}, {})


@pytest.mark.parametrize(
    ("field", "op", "operand", "place"),
    [
        ("live", "gt", True, ""),
        ("live", "eq", 1, ""),
        ("year", "eq", True, ""),
        ("year", "gt", 2019.5, ""),
        ("year", "in", [2019, "2020"], "/1"),
        ("year", "prefix", "20", ""),
        ("year", "contains", 1, ""),
        ("score", "lt", "1", ""),
        ("lang", "eq", 1, ""),
        ("lang", "contains", "en", ""),
        ("at", "gt", "yesterday", ""),
        ("at", "gt", "2024-05-01T12:00:00", ""),
        ("at", "eq", 1714564800, ""),
        ("at", "prefix", "2024", ""),
        ("tags", "eq", "a", ""),
        ("tags", "in", ["a"], ""),
        ("a.b", "eq", 1, ""),
    ],
)
def test_declared_fields_refuse_operators_and_operands_of_other_types(
    field: str, op: str, operand: object, place: str
) -> None:
    assert refused({"field": field, op: operand}, DECLARED) == (FieldTypeMismatch, f"/filter/{op}{place}")


@pytest.mark.parametrize(
    ("field", "op", "operand"),
    [
        ("year", "gt", 2019.0),
        ("score", "in", [1, 2.5]),
        ("lang", "prefix", "e"),
        ("live", "nin", [True]),
        ("at", "lte", "2024-05-01T12:00:00.5+02:00"),
        ("tags", "contains", 1),
        *((field, "exists", True) for field in DECLARED),
        *((field, "is_null", False) for field in DECLARED),
    ],
)
def test_declared_fields_take_what_suits_them(field: str, op: str, operand: object) -> None:
    assert parse_filter({"field": field, op: operand}, DECLARED)


def test_only_a_declared_datetime_is_read_as_an_instant() -> None:
    leaf = {"field": "at", "eq": "1970-01-01T00:00:01Z"}
    assert parse_filter(leaf, DECLARED).root == Condition("at", Op.EQ, (Scalar(Kind.DATETIME, 1_000_000_000),))
    assert parse_filter(leaf, {}).root == Condition("at", Op.EQ, (Scalar(Kind.STRING, leaf["eq"]),))


def test_nesting_is_limited() -> None:
    assert parse_filter(nested(MAX_DEPTH - 1), {})
    assert refused(nested(MAX_DEPTH)) == (InvalidFilter, "/filter" + "/not" * MAX_DEPTH)
    assert refused(nested(900)) == (InvalidFilter, "/filter" + "/not" * MAX_DEPTH)


def test_the_number_of_conditions_is_limited_over_all_leaves() -> None:
    leaf = {"field": "a", "gt": 1, "lt": 5}
    assert parse_filter({"or": [leaf] * (MAX_CONDITIONS // 2)}, {})
    place = f"/filter/or/{MAX_CONDITIONS // 2}/gt"
    assert refused({"or": [leaf] * (MAX_CONDITIONS // 2 + 1)}) == (InvalidFilter, place)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"field": "a", "eq": 1}, {"field": "a", "eq": 1.0}),
        ({"field": "a", "eq": 0}, {"field": "a", "eq": -0.0}),
        ({"field": "a", "in": [2, 1, 2, "x"]}, {"field": "a", "in": ["x", 1, 2.0]}),
        ({"field": "a", "gt": 1, "lt": 3}, {"lt": 3, "gt": 1, "field": "a"}),
        ({"and": [{"field": "a", "eq": 1}]}, {"field": "a", "eq": 1}),
    ],
)
def test_filters_that_differ_in_spelling_only_are_equal(left: object, right: object) -> None:
    one, other = parse_filter(left, {}), parse_filter(right, {})
    assert one == other
    assert hash(one) == hash(other)
    assert one.key == other.key


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"field": "a", "eq": 1}, {"field": "a", "eq": True}),
        ({"field": "a", "eq": 1}, {"field": "a", "eq": "1"}),
        ({"field": "a", "in": [0, True]}, {"field": "a", "in": [False, 1]}),
        ({"field": "a", "eq": 1}, {"field": "b", "eq": 1}),
        ({"field": "a", "eq": 1}, {"field": "a", "ne": 1}),
        ({"or": [nested(0), nested(1)]}, {"and": [nested(0), nested(1)]}),
    ],
)
def test_filters_of_different_meaning_differ(left: object, right: object) -> None:
    one, other = parse_filter(left, {}), parse_filter(right, {})
    assert one != other
    assert one.key != other.key


def test_the_key_is_the_same_in_every_release() -> None:
    parsed = parse_filter({"and": [{"field": "a", "eq": 1}, {"not": {"field": "at", "in": ["x", True, 2.5]}}]}, {})
    spelled = b'["and",["eq","a",[["number",1]]],["not",["in","at",[["boolean",true],["number",2.5],["string","x"]]]]]'
    assert parsed.key == spelled


KEYS = st.sampled_from(["and", "or", "not", "field", *Op, "what", "a"]) | st.text(max_size=2)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(sorted(DECLARED)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_parsed_or_refused_as_an_invalid_argument(obj: object) -> None:
    for fields in ({}, DECLARED):
        try:
            assert parse_filter(obj, fields).key
        except InvalidArgument as exc:
            (problem,) = exc.problems
            assert problem.pointer.startswith("/filter")
