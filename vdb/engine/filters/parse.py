"""Reads a filter from decoded JSON: strict, every fault an InvalidArgument that points at its place.

Two stages per operand: its shape (`_scalar`: a finite number within 64 bits, a string, a boolean), then its type,
against the declared type of the field if there is one, else against what the operator compares.
"""

import math
from collections.abc import Mapping

from vdb.engine.filters.ast import And, Condition, Filter, Kind, Node, Not, Op, Or, Scalar, make_filter
from vdb.engine.filters.declared import EXPECTED, OPERAND_KINDS, OPERATORS
from vdb.errors import FieldTypeMismatch, IntegerOutOfRange, InvalidFilter, UnknownField
from vdb.protocol.instants import parse_instant
from vdb.protocol.strict_json import INT64_MAX, INT64_MIN, child_pointer

MAX_DEPTH = 16
"""How deep filters nest; a leaf alone is depth 1."""
MAX_CONDITIONS = 256
"""How many operators a filter holds in all its leaves."""
MAX_LIST = 1000
"""How many operands `in` and `nin` take."""
MAX_FIELD_CHARS = 512

_OPERATORS = tuple((op, op.value) for op in Op)
_KEYS = frozenset(("field", *Op))
_COMBINERS = ("and", "or", "not")
_LISTS = {Op.IN, Op.NIN}
_FLAGS = {Op.EXISTS, Op.IS_NULL}
_ORDERINGS = {Op.GT, Op.GTE, Op.LT, Op.LTE}


def parse_filter(obj: object, fields: Mapping[str, str], pointer: str = "/filter") -> Filter:
    """The filter that the decoded JSON `obj`, standing at `pointer`, describes.

    `fields` maps paths to declared types. Raises InvalidFilter, UnknownField (a key that is no operator),
    FieldTypeMismatch (an operator or operand that the declared type does not take) or IntegerOutOfRange.
    """
    return make_filter(_Parser(fields).node(obj, pointer, 1))


class _Parser:
    """The state of one parse: the declared fields and how many conditions were read."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self._n_conditions = 0

    def node(self, obj: object, pointer: str, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise InvalidFilter.at(pointer, f"filter nested deeper than {MAX_DEPTH} levels")
        members = _object(obj, pointer)
        combiners = [name for name in _COMBINERS if name in members]
        if not combiners:
            return self._leaf(members, pointer)
        if len(members) > 1:
            raise InvalidFilter.at(pointer, f'"{combiners[0]}" must stand alone in its object')
        return self._combine(combiners[0], members[combiners[0]], f"{pointer}/{combiners[0]}", depth)

    def _combine(self, name: str, operand: object, pointer: str, depth: int) -> Node:
        if name == "not":
            return Not(self.node(operand, pointer, depth + 1))
        if not isinstance(operand, (list, tuple)) or not operand:
            raise InvalidFilter.at(pointer, f'"{name}" takes a list of at least one filter')
        parts = tuple(self.node(part, f"{pointer}/{index}", depth + 1) for index, part in enumerate(operand))
        if len(parts) == 1:
            return parts[0]
        return And(parts) if name == "and" else Or(parts)

    def _leaf(self, members: dict[str, object], pointer: str) -> Node:
        for name in members:
            if name not in _KEYS:
                raise UnknownField.at(child_pointer(pointer, name), f"unknown operator; known are {', '.join(Op)}")
        field = _field(members, pointer)
        present = [(op, name) for op, name in _OPERATORS if name in members]
        if not present:
            raise InvalidFilter.at(pointer, f"a condition needs an operator: {', '.join(Op)}")
        conditions = tuple(self._condition(field, op, members[name], f"{pointer}/{name}") for op, name in present)
        return conditions[0] if len(conditions) == 1 else And(conditions)

    def _condition(self, field: str, op: Op, operand: object, pointer: str) -> Condition:
        self._n_conditions += 1
        if self._n_conditions > MAX_CONDITIONS:
            raise InvalidFilter.at(pointer, f"filter holds more than {MAX_CONDITIONS} conditions")
        declared = self._fields.get(field)
        if declared is not None and op not in OPERATORS[declared]:
            raise FieldTypeMismatch.at(pointer, f"{field} is declared {declared}, which does not take {op.value}")
        if op in _FLAGS:
            return Condition(field, op, (_flag(op, operand, pointer),))
        if op in _LISTS:
            return Condition(field, op, _list(op, operand, declared, pointer))
        return Condition(field, op, (_typed(op, operand, declared, pointer),))


def _object(obj: object, pointer: str) -> dict[str, object]:
    if not isinstance(obj, dict) or not all(isinstance(key, str) for key in obj):
        raise InvalidFilter.at(pointer, 'a filter is an object: {"field": ..., <operator>: ...}, "and", "or" or "not"')
    return obj


def _field(members: dict[str, object], pointer: str) -> str:
    if "field" not in members:
        raise InvalidFilter.at(pointer, 'a filter needs "field", "and", "or" or "not"')
    field = members["field"]
    if not isinstance(field, str) or not 0 < len(field) <= MAX_FIELD_CHARS or not _is_text(field):
        raise InvalidFilter.at(f"{pointer}/field", f"a field is a string of 1 to {MAX_FIELD_CHARS} characters")
    return field


def _flag(op: Op, operand: object, pointer: str) -> Scalar:
    if not isinstance(operand, bool):
        raise InvalidFilter.at(pointer, f"{op.value} takes true or false")
    return Scalar(Kind.BOOLEAN, operand)


def _list(op: Op, operand: object, declared: str | None, pointer: str) -> tuple[Scalar, ...]:
    if not isinstance(operand, (list, tuple)):
        raise InvalidFilter.at(pointer, f"{op.value} takes a list")
    if len(operand) > MAX_LIST:
        raise InvalidFilter.at(pointer, f"{op.value} takes at most {MAX_LIST} values")
    scalars = {_typed(op, item, declared, f"{pointer}/{index}") for index, item in enumerate(operand)}
    return tuple(sorted(scalars, key=lambda scalar: (scalar.kind, scalar.value)))


def _typed(op: Op, operand: object, declared: str | None, pointer: str) -> Scalar:
    """The operand as a scalar that `op` compares with a field of type `declared` (None: not declared)."""
    scalar = _scalar(operand, pointer)
    if declared is not None and op is not Op.CONTAINS:
        return _of_type(scalar, declared, pointer)
    if op in _ORDERINGS and scalar.kind is Kind.BOOLEAN:
        raise InvalidFilter.at(pointer, f"{op.value} takes a number or a string")
    if op is Op.PREFIX and scalar.kind is not Kind.STRING:
        raise InvalidFilter.at(pointer, "prefix takes a string")
    return scalar


def _of_type(scalar: Scalar, declared: str, pointer: str) -> Scalar:
    if declared == "datetime" and isinstance(scalar.value, str):
        instant = parse_instant(scalar.value)
        if instant is not None:
            return Scalar(Kind.DATETIME, instant)
    fits = scalar.kind is OPERAND_KINDS[declared]
    if not fits or (declared == "integer" and isinstance(scalar.value, float)):
        raise FieldTypeMismatch.at(pointer, f"the field is declared {declared}: must be {EXPECTED[declared]}")
    return scalar


def _scalar(operand: object, pointer: str) -> Scalar:
    if isinstance(operand, bool):
        return Scalar(Kind.BOOLEAN, operand)
    if isinstance(operand, (int, float)):
        return Scalar(Kind.NUMBER, _number(operand, pointer))
    if isinstance(operand, str) and _is_text(operand):
        return Scalar(Kind.STRING, operand)
    if operand is None:
        raise InvalidFilter.at(pointer, 'null compares with nothing: use "is_null"')
    raise InvalidFilter.at(pointer, "must be a number, a string, true or false")


def _number(operand: int | float, pointer: str) -> int | float:
    """`operand` in canonical form: an int if it is whole and within 64 bits."""
    if isinstance(operand, int):
        if not INT64_MIN <= operand <= INT64_MAX:
            raise IntegerOutOfRange.at(pointer, "integer beyond 64 bits")
        return operand
    if not math.isfinite(operand):
        raise InvalidFilter.at(pointer, "must be a finite number")
    return int(operand) if operand.is_integer() and INT64_MIN <= operand <= INT64_MAX else operand


def _is_text(text: str) -> bool:
    """False if `text` holds a lone surrogate, which no JSON document can."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
