"""Filters on payloads: one AST (`ast`), read strictly from JSON (`parse`), compiled once to closures (`compile`).

`declared` checks operands and payloads against the fields a collection declares; `rowset` asks the payload indexes
which points may match. The language is described in `docs/filters.md`.
"""

from vdb.engine.filters.ast import And, Condition, Filter, Kind, Node, Not, Op, Or, Scalar
from vdb.engine.filters.compile import compile_filter
from vdb.engine.filters.declared import FIELD_TYPES, check_fields
from vdb.engine.filters.parse import MAX_CONDITIONS, MAX_DEPTH, MAX_FIELD_CHARS, MAX_LIST, parse_filter
from vdb.engine.filters.rowset import RowSet, row_set

__all__ = [
    "FIELD_TYPES",
    "MAX_CONDITIONS",
    "MAX_DEPTH",
    "MAX_FIELD_CHARS",
    "MAX_LIST",
    "And",
    "Condition",
    "Filter",
    "Kind",
    "Node",
    "Not",
    "Op",
    "Or",
    "RowSet",
    "Scalar",
    "check_fields",
    "compile_filter",
    "parse_filter",
    "row_set",
]
