"""What filters match: each operator by example, and all of them against a naive interpreter of the wire form."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.engine.filters import Op, compile_filter, parse_filter

FIELDS = {"when": "datetime"}


def matches(condition: dict[str, Any], payload: dict[str, Any]) -> bool:
    return compile_filter(parse_filter(condition, FIELDS))(payload)


@pytest.mark.parametrize(
    ("op", "operand", "matching", "others"),
    [
        ("eq", 1, [1, 1.0], [True, "1", [1], {}, None, 2]),
        ("eq", True, [True], [1, 1.0, "true", False, None]),
        ("eq", "en", ["en"], ["EN", ["en"], {"en": 1}, None, 1]),
        ("ne", 1, [2, True, "1", [1], None], [1, 1.0]),
        ("gt", 1, [1.5, 2**63 - 1], [1, True, "2", None, [2]]),
        ("gte", 9007199254740993, [9007199254740993], [9007199254740992.0]),
        ("lt", "b", ["a", "", "B"], ["b", "\U00010000", "\uffff", 0, None]),
        ("lte", "\uffff", ["\uffff", "z"], ["\U00010000"]),
        ("in", [1, "a", False], [1.0, "a", False], [True, 0, "b", [1], {}, None]),
        ("in", [], [], [1, None, "", []]),
        ("nin", [1, "a"], [2, True, None, [1]], [1, 1.0, "a"]),
        ("nin", [], [1, None], []),
        ("contains", 1, [[0, 1], [1.0]], [[True], ["1"], [[1]], [], 1, {"1": 1}, None]),
        ("contains", "a", [["b", "a"]], ["a", ["b"], {"a": 1}]),
        ("prefix", "ab", ["ab", "abc"], ["a", "AB", ["ab"], 1, None]),
        ("exists", True, [0, None, [], ""], []),
        ("exists", False, [], [0, None]),
        ("is_null", True, [None], [0, "", [], False]),
        ("is_null", False, [0, "", [], False], [None]),
    ],
)
def test_each_operator_matches_by_type_and_value(
    op: str, operand: object, matching: list[Any], others: list[Any]
) -> None:
    for value in matching:
        assert matches({"field": "f", op: operand}, {"f": value}), value
    for value in others:
        assert not matches({"field": "f", op: operand}, {"f": value}), value


@pytest.mark.parametrize(
    ("op", "operand", "expected"),
    [
        *((op, 1, op == "ne") for op in ("eq", "ne", "gt", "gte", "lt", "lte", "contains")),
        ("prefix", "", False),
        ("in", [1], False),
        ("nin", [1], True),
        ("exists", True, False),
        ("exists", False, True),
        ("is_null", True, False),
        ("is_null", False, True),
    ],
)
def test_an_absent_field_matches_only_what_denies(op: str, operand: object, expected: bool) -> None:
    condition = {"field": "f", op: operand}
    assert matches(condition, {}) is expected
    assert matches({"not": condition}, {}) is not expected


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ({"a": {"b": 1}}, True),
        ({"a.b": 1}, True),
        ({"a.b": 1, "a": {"b": 2}}, True),
        ({"a.b": 2, "a": {"b": 1}}, False),
        ({"a.b": None, "a": {"b": 1}}, False),
        ({"a": [{"b": 1}]}, False),
        ({"a": "b"}, False),
        ({"a": None}, False),
        ({"b": 1}, False),
    ],
)
def test_a_dotted_path_is_a_literal_key_first_and_then_a_walk(payload: dict[str, Any], found: bool) -> None:
    assert matches({"field": "a.b", "eq": 1}, payload) is found


def test_declared_datetimes_compare_as_instants() -> None:
    noon = "2024-05-01T12:00:00Z"
    assert matches({"field": "when", "eq": noon}, {"when": "2024-05-01T14:00:00.000+02:00"})
    assert matches({"field": "when", "in": [noon]}, {"when": "2024-05-01 12:00:00-00:00"})
    assert matches({"field": "when", "gt": noon}, {"when": "2024-05-01T11:30:00-01:00"})
    assert not matches({"field": "when", "gt": noon}, {"when": "2024-05-01T13:30:00+02:00"})
    assert matches({"field": "when", "gt": noon}, {"when": "2024-05-01T12:00:00.000000001Z"})


def test_a_stored_value_that_is_no_datetime_matches_only_ne() -> None:
    for value in ("soon", 1714564800, None, ["2024-05-01T12:00:00Z"]):
        for op in ("eq", "gt", "gte", "lt", "lte"):
            assert not matches({"field": "when", op: "2024-05-01T12:00:00Z"}, {"when": value})
        assert matches({"field": "when", "ne": "2024-05-01T12:00:00Z"}, {"when": value})


# The oracle: reads the wire form row by row, with none of the code under test.

MISSING = object()


def oracle_value(field: str, payload: dict[str, Any]) -> object:
    if field in payload:
        return payload[field]
    value: Any = payload
    for part in field.split("."):
        if not isinstance(value, dict) or part not in value:
            return MISSING
        value = value[part]
    return value


def oracle_typed(value: object, declared: bool) -> tuple[str, Any] | None:
    if value is True or value is False:
        return "boolean", value
    if isinstance(value, (int, float)):
        return "number", value
    if not isinstance(value, str):
        return None
    if not declared:
        return "string", value
    try:
        return "datetime", datetime.fromisoformat(value)
    except ValueError:
        return None


def oracle_condition(op: str, operand: Any, value: Any, declared: bool) -> bool:
    mine = oracle_typed(value, declared)

    def equal(other: object) -> bool:
        return mine is not None and mine == oracle_typed(other, declared)

    if op in ("ne", "nin"):
        return not oracle_condition({"ne": "eq", "nin": "in"}[op], operand, value, declared)
    if op in ("eq", "in"):
        return any(equal(item) for item in (operand if op == "in" else [operand]))
    if op in ("exists", "is_null"):
        return (value is not MISSING if op == "exists" else value is None) is bool(operand)
    if op == "contains":
        return isinstance(value, list) and any(oracle_condition("eq", operand, item, declared) for item in value)
    if op == "prefix":
        return isinstance(value, str) and value[: len(operand)] == operand
    theirs = oracle_typed(operand, declared)
    if mine is None or theirs is None or mine[0] != theirs[0]:
        return False
    a, b = mine[1], theirs[1]
    return bool({"gt": a > b, "gte": a >= b, "lt": a < b, "lte": a <= b}[op])


def oracle(obj: dict[str, Any], payload: dict[str, Any]) -> bool:
    if "not" in obj:
        return not oracle(obj["not"], payload)
    if "and" in obj or "or" in obj:
        results = [oracle(part, payload) for part in obj.get("and") or obj["or"]]
        return all(results) if "and" in obj else any(results)
    field = obj["field"]
    operators = [(op, operand) for op, operand in obj.items() if op != "field"]
    value = oracle_value(field, payload)
    return all(oracle_condition(op, operand, value, field in FIELDS) for op, operand in operators)


DATETIMES = st.sampled_from(
    ["2024-05-01T12:00:00Z", "2024-05-01T14:00:00+02:00", "2024-05-01T12:00:00.5Z", "1999-12-31T23:59:59-11:00"]
)
NUMBERS = st.integers(-2, 2) | st.sampled_from([0.5, 1.0, -0.0, 2**53 + 1, float(2**53), 2**63 - 1, 1e300])
STRINGS = st.sampled_from(["", "a", "ab", "b", "é", "\uffff", "\U0001f600"])
SCALARS = NUMBERS | STRINGS | st.booleans()
PAYLOADS = st.dictionaries(
    st.sampled_from(["f", "a", "a.b", "when"]),
    st.none()
    | SCALARS
    | DATETIMES
    | st.lists(SCALARS | st.none() | st.lists(SCALARS), max_size=3)
    | st.dictionaries(st.sampled_from(["b", "c"]), SCALARS | st.none(), max_size=2),
)


def operators(scalars: st.SearchStrategy[Any], ordered: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    strategies: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(("gt", "gte", "lt", "lte"), ordered)
    strategies |= {"eq": scalars, "ne": scalars, "exists": st.booleans(), "is_null": st.booleans()}
    return strategies | dict.fromkeys(("in", "nin"), st.lists(scalars, max_size=4))


def leaves(fields: list[str], strategies: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    some = st.fixed_dictionaries({}, optional=strategies).filter(bool)
    return st.tuples(st.sampled_from(fields), some).map(lambda pair: {"field": pair[0], **pair[1]})


UNDECLARED = leaves(
    ["f", "a", "a.b", "g"], operators(SCALARS, NUMBERS | STRINGS) | {"contains": SCALARS, "prefix": STRINGS}
)
FILTERS = st.recursive(
    UNDECLARED | leaves(["when"], operators(DATETIMES, DATETIMES)),
    lambda inner: (
        st.builds(lambda part: {"not": part}, inner)
        | st.builds(lambda name, parts: {name: parts}, st.sampled_from(["and", "or"]), st.lists(inner, min_size=1))
    ),
    max_leaves=8,
)


@given(FILTERS, st.lists(PAYLOADS, min_size=1, max_size=8))
def test_a_compiled_filter_agrees_with_the_naive_interpreter(obj: dict[str, Any], payloads: list[Any]) -> None:
    compiled = compile_filter(parse_filter(obj, FIELDS))
    for payload in payloads:
        assert compiled(payload) is oracle(obj, payload)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "f", "when"]), inner),
    max_leaves=12,
)


@given(FILTERS, st.dictionaries(st.sampled_from(["a", "a.b", "f", "when"]), ANY_JSON))
def test_a_compiled_filter_never_raises(obj: dict[str, Any], payload: dict[str, Any]) -> None:
    assert compile_filter(parse_filter(obj, FIELDS))(payload) in (True, False)


def test_the_examples_cover_every_operator() -> None:
    strategies = operators(SCALARS, SCALARS)
    assert {*strategies, "contains", "prefix"} == set(Op)
