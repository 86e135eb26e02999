"""The ledgers: what they call lost, partial, or fine."""

from typing import Any

import pytest

from bench.crash.ledger import FILL_POINTS, CatalogLedger, Ledger, Stored

OLD, NEW = Stored("old", (1.0,)), Stored("new", (2.0,))


def _ledger(note: Any = None) -> Ledger:
    """Two acknowledged points at sequence 5."""
    ledger = Ledger("acme.0", "acme", note)
    ledger.begin({"a": OLD, "b": OLD})
    ledger.acknowledge(5)
    return ledger


def _at(point: Stored, version: int) -> Stored:
    return Stored(point.payload, point.vector, point.shared, version)


def test_what_was_acknowledged_and_is_there_is_fine() -> None:
    assert _ledger().judge({"a": _at(OLD, 5), "b": _at(OLD, 5)}) == []


@pytest.mark.parametrize(
    "found",
    [
        {"a": _at(OLD, 5)},
        {"a": _at(OLD, 5), "b": _at(OLD, 4)},
        {"a": _at(OLD, 5), "b": _at(NEW, 5)},
        {"a": _at(OLD, 5), "b": Stored("old", (1.0,), ("globex",), 5)},
        {"a": _at(OLD, 5), "b": _at(OLD, 5), "c": _at(OLD, 5)},
    ],
)
def test_anything_else_is_lost_when_nothing_was_under_way(found: dict[str, Stored]) -> None:
    assert [fault.kind for fault in _ledger().judge(found)] == ["lost"]


def test_a_request_under_way_may_be_there_wholly_or_not_at_all() -> None:
    ledger = _ledger()
    ledger.begin({"a": NEW, "b": None})
    assert ledger.judge({"a": _at(OLD, 5), "b": _at(OLD, 5)}) == []
    assert ledger.judge({"a": _at(NEW, 9)}) == []


def test_half_a_request_is_partial() -> None:
    ledger = _ledger()
    ledger.begin({"a": NEW, "b": None})
    assert [fault.kind for fault in ledger.judge({"a": _at(NEW, 9), "b": _at(OLD, 5)})] == ["partial"]


def test_a_request_under_way_excuses_no_other_point() -> None:
    ledger = _ledger()
    ledger.begin({"a": NEW})
    assert [fault.where for fault in ledger.judge({"a": _at(NEW, 9)})] == ["acme.0/b"]


def test_a_refused_request_must_not_be_there() -> None:
    ledger = _ledger()
    ledger.begin({"a": NEW})
    ledger.refuse()
    assert [fault.kind for fault in ledger.judge({"a": _at(NEW, 9), "b": _at(OLD, 5)})] == ["lost"]


def test_a_ledger_is_rebuilt_from_its_notes() -> None:
    notes: list[dict[str, Any]] = []
    ledger = _ledger(notes.append)
    ledger.begin({"a": NEW})
    rebuilt = Ledger("acme.0", "acme")
    for note in notes:
        rebuilt.replay(note)
    assert (rebuilt.points, rebuilt.in_flight) == (ledger.points, ledger.in_flight)


def _catalog(*done: tuple[str, str, list[Any]]) -> CatalogLedger:
    ledger = CatalogLedger()
    for action, name, answer in done:
        ledger.begin(action, name)
        ledger.acknowledge(answer)
    return ledger


def test_acknowledged_collections_and_keys_must_be_there() -> None:
    ledger = _catalog(("create", "docs", []), ("fill", "docs", []), ("issue", "", ["key-1", "secret"]))
    assert ledger.judge({"docs": FILL_POINTS}, {"key-1"}) == []
    assert len(ledger.judge({"docs": 3}, {"key-1"})) == 1
    assert len(ledger.judge({}, set())) == 2


def test_deleted_collections_and_keys_must_not_come_back() -> None:
    ledger = _catalog(
        ("create", "docs", []), ("drop", "docs", []), ("issue", "", ["key-1", "secret"]), ("withdraw", "key-1", [])
    )
    assert ledger.judge({}, set()) == []
    assert len(ledger.judge({"docs": 0}, {"key-1"})) == 2
    assert ledger.dead_secrets == ["secret"]


def test_a_collection_under_way_is_made_filled_or_dropped_wholly_or_not_at_all() -> None:
    ledger = _catalog(("create", "docs", []))
    ledger.begin("fill", "docs")
    assert ledger.judge({"docs": 0}, set()) == ledger.judge({"docs": FILL_POINTS}, set()) == []
    assert len(ledger.judge({"docs": 1}, set())) == 1
    ledger.begin("drop", "docs")
    assert ledger.judge({}, set()) == ledger.judge({"docs": 0}, set()) == []
    ledger.begin("create", "other")
    assert ledger.judge({"docs": 0}, set()) == ledger.judge({"docs": 0, "other": 0}, set()) == []


def test_a_rename_under_way_is_there_wholly_or_not_at_all() -> None:
    ledger = _catalog(("create", "docs", []), ("alias", "current docs", []))
    ledger.begin("rename", "docs texts")
    assert ledger.judge({"docs": 0}, set(), {"current": "docs"}) == []
    assert ledger.judge({"texts": 0}, set(), {"current": "texts"}) == []
    for half in ({"current": "docs"}, {}):
        assert ledger.judge({"texts": 0}, set(), half) != []
    assert ledger.judge({"docs": 0, "texts": 0}, set(), {"current": "docs"}) != []


def test_an_acknowledged_alias_leads_where_it_was_told_and_goes_with_its_collection() -> None:
    ledger = _catalog(("create", "a", []), ("create", "b", []), ("alias", "current a", []), ("alias", "current b", []))
    assert ledger.judge({"a": 0, "b": 0}, set(), {"current": "b"}) == []
    assert len(ledger.judge({"a": 0, "b": 0}, set(), {"current": "a"})) == 1
    ledger.begin("drop", "b")
    assert ledger.judge({"a": 0}, set(), {}) == ledger.judge({"a": 0, "b": 0}, set(), {"current": "b"}) == []
    assert len(ledger.judge({"a": 0}, set(), {"current": "b"})) == len(ledger.judge({"a": 0, "b": 0}, set(), {})) == 1


def test_a_tenant_is_deleted_with_all_its_points_or_has_them_all() -> None:
    ledger = _catalog(("settle", "guest", []))
    assert ledger.judge({}, set(), {}, {"guest": FILL_POINTS}) == []
    assert len(ledger.judge({}, set(), {}, {})) == len(ledger.judge({}, set(), {}, {"guest": 1})) == 1
    ledger.begin("expel", "guest")
    assert ledger.judge({}, set(), {}, {}) == ledger.judge({}, set(), {}, {"guest": FILL_POINTS}) == []
    ledger.acknowledge([])
    assert len(ledger.judge({}, set(), {}, {"guest": FILL_POINTS})) == 1


def test_a_refused_first_write_may_have_made_its_tenant_without_points() -> None:
    ledger = _catalog()
    ledger.begin("settle", "guest")
    ledger.refuse()
    assert ledger.judge({}, set(), {}, {"guest": 0}) == ledger.judge({}, set()) == []
    assert len(ledger.judge({}, set(), {}, {"guest": FILL_POINTS})) == 1
