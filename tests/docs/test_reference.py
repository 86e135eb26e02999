"""Routes, error codes, settings, limits, filter operators, commands: all stand in their document, defaults are true."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.docs.pages import rows, text_of
from vdb.cache.calibration import Reason as LookupReason
from vdb.config import CLIENT_VARIABLES, CONFIG_VARIABLE, Limits, Settings
from vdb.engine.filters import FIELD_TYPES, MAX_CONDITIONS, MAX_DEPTH, MAX_FIELD_CHARS, MAX_LIST, Op
from vdb.engine.plan import Reason
from vdb.errors import BY_CODE
from vdb.protocol.answers import Explain
from vdb.protocol.cache_answers import LookupAnswer
from vdb.protocol.cache_requests import PutPolicy
from vdb.protocol.operations import OPERATIONS
from vdb.protocol.requests import SearchParams
from vdb.types import FieldType, Metric, Role

FILTER_LIMITS = {
    "max_filter_depth": MAX_DEPTH,
    "max_filter_conditions": MAX_CONDITIONS,
    "max_filter_list": MAX_LIST,
    "max_filter_field_characters": MAX_FIELD_CHARS,
}


def _written(value: object) -> str:
    """A default as the document writes it."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in ("", ()) else "empty"


@pytest.mark.parametrize("name", [field.name for field in fields(Settings) if field.name != "limits"])
def test_every_setting_stands_with_its_variable_and_default(name: str) -> None:
    variable, default, unit, meaning = rows("docs/settings.md")[name]
    assert variable == f"`VDB_{name.upper()}`"
    assert default == _written(getattr(Settings(), name))
    assert unit and meaning


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_every_limit_stands_with_its_default(name: str) -> None:
    assert rows("docs/settings.md")[name][0] == _written(getattr(Limits(), name))


@pytest.mark.parametrize("name", FILTER_LIMITS)
def test_every_filter_limit_stands_with_its_value(name: str) -> None:
    assert rows("docs/settings.md")[name][0] == _written(FILTER_LIMITS[name])


def test_no_setting_or_limit_is_made_up() -> None:
    known = {field.name for shape in (Settings, Limits) for field in fields(shape)} | set(FILTER_LIMITS)
    assert set(rows("docs/settings.md")) - {"Setting", "Limit"} == known


def test_every_environment_variable_named_anywhere_exists() -> None:
    known = {f"VDB_{field.name.upper()}" for field in fields(Settings)} | {CONFIG_VARIABLE, *CLIENT_VARIABLES}
    for page in ("README.md", "docs/http-api.md", "docs/tenancy.md", "docs/architecture.md"):
        assert set(re.findall(r"VDB_[A-Z_]+", text_of(page))) <= known, page


def test_every_route_and_error_code_stands() -> None:
    api = text_of("docs/http-api.md")
    routes = [f"`{operation.method} {operation.path}`" for operation in OPERATIONS]
    assert [route for route in routes if route not in api] == []
    assert [code for code in BY_CODE if f"`{code}`" not in api] == []


def test_every_parameter_of_a_search_and_what_explain_says_of_it_stand() -> None:
    api = text_of("docs/http-api.md")
    named = (*SearchParams.__struct_fields__, *Explain.__struct_fields__, *Reason)
    assert [name for name in named if f"`{name}`" not in api] == []


def test_every_field_of_a_policy_and_reason_of_a_lookup_stands() -> None:
    guide = text_of("docs/cache.md")
    served = {LookupReason.ABOVE_BAR, LookupReason.RELAXED}
    named = (*PutPolicy.__struct_fields__, *(set(LookupReason) - served), *LookupAnswer.__struct_fields__)
    assert [name for name in named if f"`{name}`" not in guide and name not in ("reason", "is_relaxed")] == []


def test_every_filter_operator_and_field_type_stands() -> None:
    named = text_of("docs/filters.md")
    assert [word for word in (*Op, *FieldType) if f"`{word}`" not in named] == []
    assert {str(name) for name in FIELD_TYPES} <= {str(kind) for kind in FieldType}


def test_every_metric_and_role_stands() -> None:
    assert [metric for metric in Metric if f"`{metric}`" not in text_of("docs/http-api.md")] == []
    assert [role for role in Role if f"`{role}`" not in text_of("docs/tenancy.md")] == []


def test_every_target_of_make_is_in_its_help() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    phony = next(line for line in makefile.splitlines() if line.startswith(".PHONY:")).split()[1:]
    assert [target for target in phony if target not in ("help", "env") and f"'make {target} " not in makefile] == []
