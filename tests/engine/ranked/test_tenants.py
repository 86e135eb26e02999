"""What one tenant does never shows in another's answers by text."""

import msgspec
import pytest

from tests.engine.ranked.conftest import TEXTS, direction
from vdb.client import Collection
from vdb.errors import TooLarge
from vdb.local import Database
from vdb.storage import text_changes


def _answer(docs: Collection, **given: object) -> bytes:
    return msgspec.json.encode(list(docs.search(direction(1), text="oil in cold mornings", **given)))  # type: ignore[arg-type]


def test_another_tenant_s_writes_change_no_bit_of_an_answer(database: Database, notes: Collection) -> None:
    before = [_answer(notes, mode=mode) for mode in ("sparse", "hybrid", "dense")]
    other = database.as_tenant("other").collection("notes")
    other.upsert([f"o{i}" for i in range(50)], [direction(1)] * 50, [{"text": "oil in cold mornings"}] * 50)
    assert [_answer(notes, mode=mode) for mode in ("sparse", "hybrid", "dense")] == before
    other.delete([f"o{i}" for i in range(25)])
    assert [_answer(notes, mode=mode) for mode in ("sparse", "hybrid", "dense")] == before
    assert {hit.owner for hit in other.search(direction(1), text="oil")} == {"other"}


def test_what_is_granted_is_found_by_its_words(database: Database, notes: Collection) -> None:
    friend = database.as_tenant("friend").collection("notes")
    friend.upsert(["own"], [direction(7)], [{"text": "nothing of that kind"}])
    assert friend.search(text="valve", mode="sparse") == []
    database.as_tenant("acme", "admin").collection("notes").grant(["valve"], ["friend"])
    (hit,) = friend.search(text="valve", mode="sparse")
    assert (hit.id, hit.owner, hit.payload["text"]) == ("valve", "acme", TEXTS["valve"])
    (both,) = [hit for hit in friend.search(direction(1), text="valve") if hit.id == "valve"]
    assert both.distance < 1e-6 and both.legs.dense.rank == 1 and both.legs.sparse.rank == 1
    database.as_tenant("acme", "admin").collection("notes").grant(["gasket"], ["*"])
    assert {hit.id for hit in friend.search(text="valve gasket", mode="sparse")} == {"valve", "gasket"}
    database.as_tenant("acme", "admin").collection("notes").revoke(["valve"], ["friend"])
    assert {hit.id for hit in friend.search(text="valve gasket", mode="sparse")} == {"gasket"}


def test_text_for_many_grantees_does_not_hold_up_the_others(
    database: Database, notes: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each grantee's postings are written in the commit: a point of 64 KiB for 300 of them took 20 seconds."""
    monkeypatch.setattr(text_changes, "MAX_SPREAD_BYTES", 300)
    for i in range(10):
        database.create_tenant(f"t{i}")
    names = [f"t{i}" for i in range(10)]
    acme = database.as_tenant("acme", "admin").collection("notes")
    with pytest.raises(TooLarge):
        acme.upsert(["wide"], [direction(0)], [{"text": "words " * 10}], shared_with=names)
    assert acme.get(["wide"]) == []
    acme.upsert(["wide"], [direction(0)], [{"text": "words " * 10}])
    with pytest.raises(TooLarge):
        acme.grant(["wide"], names)
    acme.grant(["wide"], names[:3])
    acme.grant(["wide"], ["*"])
    acme.revoke(["wide"], ["*"])
    acme.revoke(["wide"], names)
    assert [hit.id for hit in acme.search(text="words", mode="sparse")] == ["wide"]


def test_groups_of_two_owners_are_two(database: Database, notes: Collection) -> None:
    """What another tenant calls its documents takes no place of one's own."""
    notes.upsert(["mine"], [direction(0)], [{"text": "shared words", "document": "d"}])
    other = database.as_tenant("other", "admin").collection("notes")
    other.upsert(["theirs"], [direction(0)], [{"text": "shared words", "document": "d"}])
    other.grant(["theirs"], ["acme"])
    hits = notes.search(text="shared words", mode="sparse", group="document")
    assert {(hit.owner, hit.id) for hit in hits} == {("acme", "mine"), ("other", "theirs")}
