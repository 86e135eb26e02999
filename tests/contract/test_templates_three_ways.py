"""Prompt templates of a collection, in every way to reach an engine."""

from typing import Any

import msgspec
import pytest

from tests.contract.ways import World
from vdb.errors import VdbError
from vdb.rag.prompt import DEFAULT_TEMPLATE


@pytest.fixture
def notes(world: World) -> Any:
    world.admin.create_collection(world.name("docs"), 3)
    world.points("docs", "acme")
    return world.admin.collection(world.name("docs"))


def _plain(found: Any) -> dict[str, Any]:
    return {key: value for key, value in msgspec.to_builtins(found).items() if key != "created_at"}


def test_a_put_makes_a_version_and_what_is_not_given_is_the_built_in_ones(world: World, notes: Any) -> None:
    built_in = _plain(notes.template("default"))
    assert built_in["version"] == 1 and built_in["system"] == DEFAULT_TEMPLATE.system
    first = _plain(notes.put_template("brief", system="Be brief: {context}"))
    assert first == built_in | {"name": "brief", "system": "Be brief: {context}"}
    assert _plain(notes.put_template("brief", system="Be brief: {context}")) == first  # the same again
    second = _plain(notes.put_template("brief", not_found="No {idea}."))
    assert second == built_in | {"name": "brief", "version": 2, "not_found": "No {idea}."}
    assert _plain(notes.template("brief")) == second and _plain(notes.template("brief", 1)) == first
    notes.put_template("long", question="{question}")
    assert world.plain(notes.templates()) == [
        {"name": "brief", "versions": [1, 2]}, {"name": "long", "versions": [1]},
    ]  # fmt: skip
    assert world.plain(notes.delete_template("brief")) == {"deleted": True}
    assert world.code(notes.template, "brief") == world.code(notes.delete_template, "brief") == "template_not_found"
    assert world.plain(notes.templates()) == [{"name": "long", "versions": [1]}]


def test_a_collection_names_its_template_and_keeps_it(world: World, notes: Any) -> None:
    admin, name = world.admin, world.name("docs")
    assert world.code(admin.update_collection, name, answering={"template": "brief"}) == "invalid_argument"
    notes.put_template("brief", system="Be brief: {context}")
    assert world.code(admin.update_collection, name, answering={"template": "brief@2"}) == "invalid_argument"
    for template in ("brief@1", "brief", "default", "default@1"):
        changed = world.plain(admin.update_collection(name, answering={"template": template}))
        assert changed["answering"]["template"] == template
    admin.update_collection(name, answering={"template": "brief"})
    assert world.code(notes.delete_template, "brief") == "conflict"
    admin.update_collection(name, answering=None)
    notes.delete_template("brief")


_BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"system": "no place for a context"}, "invalid_argument", "/system"),
    ({"system": "{context} {context}"}, "invalid_argument", "/system"),
    ({"system": "{context} {env}"}, "invalid_argument", "/system"),
    ({"passage": "{n} {text} {context}"}, "invalid_argument", "/passage"),
    ({"question": "{question} {"}, "invalid_argument", "/question"),
    ({"not_found": " "}, "invalid_argument", "/not_found"),
    ({"system": 5}, "invalid_argument", "/system"),
]


@pytest.mark.parametrize(("given", "code", "pointer"), _BAD)
def test_a_bad_template_is_refused_and_makes_no_version(
    world: World, notes: Any, given: dict[str, Any], code: str, pointer: str
) -> None:
    with pytest.raises(VdbError) as caught:
        notes.put_template("brief", **given)
    assert (caught.value.code, [problem.pointer for problem in caught.value.problems]) == (code, [pointer])
    assert world.plain(notes.templates()) == []


def test_names_sizes_and_rights(world: World, notes: Any) -> None:
    assert world.code(notes.put_template, "default") == "invalid_argument"
    assert world.code(notes.put_template, "big", system="{context}" + "x" * 16_384) == "too_large"
    assert world.code(notes.template, "brief", 10**12) == "template_not_found"
    tenant = world.points("docs", "acme")
    for act in (tenant.templates, lambda: tenant.template("default"), lambda: tenant.put_template("brief"),
                lambda: tenant.delete_template("brief")):  # fmt: skip
        assert world.code(act) == "forbidden"
    nowhere = world.admin.collection(world.name("nowhere"))
    assert world.code(nowhere.put_template, "brief") == world.code(nowhere.templates) == "collection_not_found"
