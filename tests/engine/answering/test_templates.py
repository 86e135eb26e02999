"""Templates of collections: which one holds, how many are kept, when they go."""

from pathlib import Path
from typing import Any

import pytest

from tests.engine.driver import Driver, opened, wait_until
from vdb.engine.answering.templates import template_of
from vdb.errors import InvalidArgument, LimitReached, TemplateNotFound
from vdb.protocol.answering import Answering
from vdb.protocol.requests import Empty, UpdateCollection
from vdb.protocol.template_requests import GetTemplate, PutTemplate
from vdb.rag.prompt import DEFAULT_TEMPLATE
from vdb.storage.templates import iterate_templates


@pytest.fixture
def driver(tmp_path: Path) -> Any:
    with opened(tmp_path / "data") as made:
        made.create("docs")
        yield made


def put(driver: Driver, name: str = "brief", text: str = "a", collection: str = "docs") -> int:
    request = PutTemplate(system=f"{text} {{context}}")
    return int(driver.run("put_template", None, (collection, name), request).version)


def kept(driver: Driver, name: str = "brief") -> list[int]:
    found = driver.run("list_templates", None, ("docs",), Empty()).templates
    return next((list(entry.versions) for entry in found if entry.name == name), [])


def wanted(driver: Driver, template: str | None) -> Any:
    services = driver.engine.services
    collection = services.catalog.collection("docs")
    assert collection is not None
    return template_of(services, collection, template, "/rag/template")


def test_the_request_then_the_collection_then_the_built_in_one_holds(driver: Driver) -> None:
    assert wanted(driver, None) is DEFAULT_TEMPLATE
    put(driver, "brief", "a")
    put(driver, "brief", "b")
    answering = Answering(template="brief")
    driver.run("update_collection", None, ("docs",), UpdateCollection(answering=answering))
    assert (wanted(driver, None).version, wanted(driver, None).system) == (2, "b {context}")
    assert (wanted(driver, "brief@1").system, wanted(driver, "brief@1").name) == ("a {context}", "brief")
    assert wanted(driver, "default") is wanted(driver, "default@1") is DEFAULT_TEMPLATE


@pytest.mark.parametrize("name", ["nope", "brief@3", "brief@0", "default@2"])
def test_one_that_is_not_there_is_not_found_at_its_member(driver: Driver, name: str) -> None:
    put(driver)
    with pytest.raises(TemplateNotFound) as caught:
        wanted(driver, name)
    assert caught.value.problems[0].pointer == "/rag/template"


@pytest.mark.parametrize("name", ["", "No", "a@", "a@x", "a@1@2", "a@9999999999", "a@-1", "ä", "a@١"])
def test_what_names_no_template_is_refused(driver: Driver, name: str) -> None:
    with pytest.raises(InvalidArgument):
        wanted(driver, name)


def test_the_newest_versions_are_kept_and_the_one_in_use(driver: Driver) -> None:
    for i in range(3):
        put(driver, text=str(i))
    driver.run("update_collection", None, ("docs",), UpdateCollection(answering=Answering(template="brief@2")))
    for i in range(3, 30):
        assert put(driver, text=str(i)) == i + 1
    assert kept(driver) == [2, *range(16, 31)]
    assert wanted(driver, None).system == "1 {context}"


def test_a_collection_holds_so_many_templates(driver: Driver) -> None:
    for i in range(16):
        put(driver, f"t{i}")
    with pytest.raises(LimitReached):
        put(driver, "one-more")
    put(driver, "t3", "b")


def test_templates_are_a_collections_own_and_go_with_it(driver: Driver) -> None:
    driver.create("other")
    put(driver, "brief", "a")
    put(driver, "brief", "b", "other")
    assert driver.run("get_template", None, ("other", "brief"), GetTemplate()).system == "b {context}"
    services = driver.engine.services
    documents = {name: services.catalog.collection(name) for name in ("docs", "other")}
    driver.run("delete_collection", None, ("docs",), Empty())

    def left(name: str) -> list[tuple[str, int]]:
        document = documents[name]
        assert document is not None
        with services.catalog.env.read() as txn:
            return list(iterate_templates(txn, document.id))

    wait_until(lambda: left("docs") == [])
    assert left("other") == [("brief", 1)]
    driver.create("docs")
    assert kept(driver) == []


def test_templates_outlive_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path / "kept") as driver:
        driver.create("docs")
        put(driver, text="a")
        put(driver, text="b")
    with opened(tmp_path / "kept") as driver:
        assert kept(driver) == [1, 2] and wanted(driver, "brief").system == "b {context}"
        assert wanted(driver, "brief@1").system == "a {context}"


def test_versions_go_on_counting_in_the_order_of_numbers(driver: Driver) -> None:
    for i in range(260):
        put(driver, text=str(i))
    assert kept(driver)[-1] == 260 and len(kept(driver)) == 16
