"""The filter AST: frozen, hashable, canonical. Owns the operators, the kinds of operands and the stable key.

Canonical means: numbers that are whole are int (1.0 is 1), lists are sorted and without repeats, the operators of one
leaf stand in the order of `Op`, and an `and` or `or` of one part is that part. So filters that differ only in such
spelling are equal and have the same key.
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec


class Op(StrEnum):
    """Operators, as spelled on the wire."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NIN = "nin"
    CONTAINS = "contains"
    PREFIX = "prefix"
    EXISTS = "exists"
    IS_NULL = "is_null"


class Kind(StrEnum):
    """Kinds of values an operand may have. They never equal one another: true is not 1."""

    NUMBER = "number"
    STRING = "string"
    BOOLEAN = "boolean"
    DATETIME = "datetime"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One operand. A datetime is its instant in nanoseconds since 1970-01-01T00:00:00Z."""

    kind: Kind
    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one field: several operands for `in` and `nin`, one for all others."""

    field: str
    op: Op
    operands: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: "Node"


Node = And | Or | Not | Condition


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter. `key` is the same in every process for equal filters: it may enter cursors and cache keys."""

    root: Node
    key: bytes


def make_filter(root: Node) -> Filter:
    """The filter of `root`, with its key: JSON of nested arrays that start with the operator."""
    return Filter(root, msgspec.json.encode(_spell(root)))


def _spell(node: Node) -> list[object]:
    if isinstance(node, Condition):
        return [node.op, node.field, [[scalar.kind, scalar.value] for scalar in node.operands]]
    if isinstance(node, Not):
        return ["not", _spell(node.part)]
    return ["and" if isinstance(node, And) else "or", *map(_spell, node.parts)]
