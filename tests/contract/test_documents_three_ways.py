"""Documents in every way to reach the engine: put, listed, read, deleted; what is wrong with those that are refused."""

import hashlib
import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.contract.bad_documents import BAD_DOCUMENTS, X
from tests.contract.conftest import Y
from tests.contract.ways import World
from vdb.errors import VdbError

GUIDE = "# Returns\n\nPrint the label.\n\n# Refunds\n\nWait a week.\n"
GUIDE_HASH = hashlib.sha256(GUIDE.encode()).hexdigest()
GUIDE_DOCUMENT = {"id": "guide.md", "text": GUIDE, "media_type": "text/markdown", "payload": {"lang": "en"}}
LEXICAL = {"model": "lexical", "version": "1"}


def told(answer: Any) -> Any:
    """An answer as JSON data, whatever way it came."""
    return msgspec.to_builtins(list(answer) if inspect.isgenerator(answer) else answer)


@pytest.fixture
def notes(world: World) -> Any:
    """A collection of dimension 3 without an embedder, as acme sees it."""
    world.admin.create_collection(world.name("notes"), 3, fields={"lang": "string"})
    return world.points("notes", "acme")


@pytest.fixture
def embedded(world: World) -> Any:
    """A collection whose vectors the server makes, as acme sees it."""
    world.admin.create_collection(world.name("embedded"), 32, embedding=LEXICAL)
    return world.points("embedded", "acme")


def put(collection: Any, *documents: dict[str, Any], **given: Any) -> list[tuple[str, str, int, int]]:
    """(id, status or code, chunks, embedded) of each."""
    results = told(collection.put_documents(list(documents), **given))["documents"]
    return [
        (r["id"], r["error"]["code"] if "error" in r else r["status"], r["n_chunks"], r["n_embedded"]) for r in results
    ]


def test_a_document_is_put_listed_read_and_deleted(world: World, notes: Any) -> None:
    assert put(notes, GUIDE_DOCUMENT, chunk_size=8) == [("guide.md", "created", 2, 0)]
    (listed,) = told(notes.documents())
    assert listed.items() >= {"id": "guide.md", "n_chunks": 2, "n_stored": 2, "title": "Returns"}.items()
    assert (listed["content_hash"], listed["media_type"]) == (GUIDE_HASH, "text/markdown")
    assert listed["payload"] == {"lang": "en"} and listed["shared_with"] == [] and "chunks" not in listed
    (found,) = told(notes.get_documents(["guide.md", "nothing"], with_chunks=True))
    assert [(c["id"], c["chunk"], c["heading"]) for c in found["chunks"]] == [
        ("guide.md#0", 0, ["Returns"]),
        ("guide.md#1", 1, ["Refunds"]),
    ]
    assert all(GUIDE[c["start"] : c["end"]] == c["text"] for c in found["chunks"])
    deleted = told(notes.delete_documents(["guide.md", "nothing"]))
    assert (deleted["deleted"], deleted["n_chunks"]) == (1, 2)
    assert told(notes.documents()) == [] and notes.count() == 0


def test_what_a_chunk_holds_is_flat(world: World, notes: Any) -> None:
    put(notes, GUIDE_DOCUMENT, chunk_size=8)
    first, second = (point["payload"] for point in told(notes.get(["guide.md#0", "guide.md#1"])))
    assert second == {
        "text": "# Refunds\n\nWait a week.", "document": "guide.md", "chunk": 1, "start": 29, "end": 52,
        "heading": ["Refunds"], "title": "Returns", "lang": "en",
    }  # fmt: skip
    assert first.keys() - second.keys() == {"n_chunks", "content_hash", "settings_hash", "media_type"}


def test_what_is_stored_as_it_is_stays_untouched(world: World, notes: Any) -> None:
    put(notes, GUIDE_DOCUMENT)
    before = told(notes.get(["guide.md#0"]))[0]["version"]
    assert put(notes, GUIDE_DOCUMENT) == [("guide.md", "unchanged", 1, 0)]
    assert put(notes, GUIDE_DOCUMENT | {"payload": {"lang": "de"}}) == [("guide.md", "updated", 1, 0)]
    assert put(notes, GUIDE_DOCUMENT | {"payload": {"lang": "de"}}, chunk_size=8) == [("guide.md", "updated", 2, 0)]
    assert put(notes, GUIDE_DOCUMENT, chunk_size=200) == [("guide.md", "updated", 1, 0)]
    assert told(notes.get(["guide.md#0"]))[0]["version"] > before and notes.count() == 1


def test_a_hash_alone_asks_whether_a_document_is_there(world: World, notes: Any) -> None:
    question = {name: value for name, value in GUIDE_DOCUMENT.items() if name != "text"}
    question["content_hash"] = GUIDE_HASH
    assert put(notes, question) == [("guide.md", "missing", 0, 0)]
    put(notes, GUIDE_DOCUMENT)
    assert put(notes, question) == [("guide.md", "unchanged", 1, 0)]
    assert put(notes, question | {"title": "Another"}) == [("guide.md", "missing", 1, 0)]
    assert put(notes, question | {"content_hash": "0" * 64}) == [("guide.md", "missing", 1, 0)]
    assert notes.count() == 1


def test_given_chunks_are_stored_with_their_vectors(world: World, notes: Any) -> None:
    chunks: list[dict[str, Any]] = [
        {"text": "One.", "vector": X, "start": 0, "end": 4, "page": 1},
        {"text": "Two.", "payload": {"lang": "en"}},
    ]
    document = {"id": "d", "chunks": chunks, "title": "Numbers"}
    assert put(notes, document) == [("d", "created", 2, 0)]
    assert put(notes, document) == [("d", "unchanged", 2, 0)]
    assert [hit["id"] for hit in told(list(notes.search(X)))] == ["d#0"]
    points = told(notes.get(["d#0", "d#1"]))
    assert [(p["payload"]["text"], p["payload"].get("page"), p["payload"].get("lang")) for p in points] == [
        ("One.", 1, None),
        ("Two.", None, "en"),
    ]
    chunks[1]["vector"] = Y
    assert put(notes, document) == [("d", "updated", 2, 0)]
    assert [hit["id"] for hit in told(list(notes.search(Y)))] == ["d#1", "d#0"]
    told_hash = {"id": "d", "content_hash": "1" * 64, "title": "Numbers"}
    assert put(notes, told_hash | {"chunks": chunks}, told_hash | {"id": "e"}) == [
        ("d", "updated", 2, 0),
        ("e", "missing", 0, 0),
    ]
    assert put(notes, told_hash) == [("d", "unchanged", 2, 0)]


def test_only_new_texts_are_embedded(world: World, embedded: Any) -> None:
    texts = [f"Sentence number {i} about things." for i in range(4)]
    assert put(embedded, {"id": "d", "chunks": [{"text": text} for text in texts]}) == [("d", "created", 4, 4)]
    vectors = {point["id"]: point["vector"] for point in _with_vectors(world, embedded, 4)}
    moved = ["Something new.", *texts[:3]]
    assert put(embedded, {"id": "d", "chunks": [{"text": text} for text in moved]}) == [("d", "updated", 4, 1)]
    after = {point["id"]: point["vector"] for point in _with_vectors(world, embedded, 4)}
    assert [after[f"d#{i + 1}"] for i in range(3)] == [vectors[f"d#{i}"] for i in range(3)]
    assert after["d#0"] not in vectors.values()
    assert put(embedded, {"id": "d", "chunks": [{"text": texts[0]}]}) == [("d", "updated", 1, 0)]
    assert embedded.count() == 1


def _with_vectors(world: World, collection: Any, n: int) -> list[Any]:
    found = collection.get([f"d#{i}" for i in range(n)], with_vector=True)
    return [msgspec.to_builtins(point, enc_hook=lambda array: array.tolist()) for point in found]


@pytest.mark.parametrize(("what", "document", "code", "place"), BAD_DOCUMENTS, ids=[row[0] for row in BAD_DOCUMENTS])
def test_a_bad_document_is_refused_alone(
    world: World, notes: Any, what: str, document: dict[str, Any], code: str, place: str
) -> None:
    good, bad, other = told(notes.put_documents([GUIDE_DOCUMENT, document, {"id": "o", "text": "Other."}]))["documents"]
    assert (good["status"], other["status"]) == ("created", "created")
    assert (bad["status"], bad["error"]["code"]) == ("failed", code), bad
    assert [fault["pointer"] for fault in bad["error"]["errors"]] == [f"/documents/1{place}"]
    assert [found["id"] for found in told(notes.documents())] == ["guide.md", "o"]
    assert notes.count() == 2


@pytest.mark.parametrize(
    ("given", "code", "pointer"),
    [
        ({"documents": []}, "empty_batch", "/documents"),
        ({"documents": [{"id": f"{i}", "text": "x"} for i in range(1001)]}, "too_large", "/documents"),
        ({"documents": [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}]}, "duplicate_id", "/documents/1/id"),
        ({"documents": [{"id": "a", "text": "x"}], "chunk_size": 0}, "invalid_argument", "/chunking/size"),
        ({"documents": [{"id": "a", "text": "x"}], "chunk_size": 2**64}, "invalid_argument", "/chunking/size"),
        ({"documents": [{"id": "a", "text": "x"}], "chunk_overlap": 150}, "invalid_argument", "/chunking/overlap"),
        ({"documents": [{"id": "a", "text": 5}]}, "invalid_argument", "/documents/0/text"),
        ({"documents": [{"id": "a", "txt": "x"}]}, "unknown_field", "/documents/0/txt"),
        ({"documents": [{"text": "x"}]}, "invalid_argument", "/documents/0/id"),
        ({"documents": [{"id": "a", "text": "x"}], "owner": "nobody"}, "point_not_found", None),
    ],
)
def test_a_bad_request_stores_nothing(
    world: World, notes: Any, given: dict[str, Any], code: str, pointer: str | None
) -> None:
    if code == "too_large" and world.way != "raw":
        return  # the SDK cuts it into several
    with pytest.raises(VdbError) as caught:
        notes.put_documents(**given)
    assert (caught.value.code, [p.pointer for p in caught.value.problems]) == (code, [pointer] if pointer else [])
    assert notes.count() == 0


def test_documents_are_listed_page_by_page(world: World, notes: Any) -> None:
    names = sorted(f"folder {i % 3}/file-{i}" for i in range(30))
    put(notes, *({"id": name, "text": f"Text of {name}."} for name in names))
    notes.upsert(["folder 1/zzz", "plain#x", "#0"], [X, X, X])
    assert [d["id"] for d in told(notes.documents(page_size=7))] == names
    wanted = [name for name in names if name.startswith("folder 1/")]
    prefix = "folder%201/" if world.way == "raw" else "folder 1/"
    assert [d["id"] for d in told(notes.documents(prefix, page_size=3))] == wanted
    assert told(notes.documents("folder", page_size=1000))[-1]["id"] == names[-1]


def test_one_tenants_documents_are_nobody_elses(world: World, notes: Any) -> None:
    put(notes, GUIDE_DOCUMENT)
    other = world.points("notes", "globex")
    assert put(other, {"id": "guide.md", "text": "Mine."}) == [("guide.md", "created", 1, 0)]
    assert [d["content_hash"] != GUIDE_HASH for d in told(other.documents())] == [True]
    acme = world.name("acme")
    assert told(other.get_documents(["guide.md"], owner=acme)) == []
    assert world.code(other.put_documents, [GUIDE_DOCUMENT], owner=acme) == "point_not_found"
    assert world.code(other.delete_documents, ["guide.md"], owner=acme) == "point_not_found"
    other.delete_documents(["guide.md"])
    assert told(notes.documents())[0]["content_hash"] == GUIDE_HASH


def test_a_shared_document_is_read_and_not_written(world: World, notes: Any) -> None:
    other = world.points("notes", "globex")
    put(other, {"id": "own", "text": "Mine."})
    acme, globex = world.name("acme"), world.name("globex")
    as_service = world.tenant("acme", "service").collection(world.name("notes"))
    put(as_service, GUIDE_DOCUMENT | {"shared_with": [globex]}, chunk_size=8)
    (found,) = world.plain(other.get_documents(["guide.md"], owner=acme, with_chunks=True))
    assert (found["owner"], found["n_stored"], len(found["chunks"])) == ("acme", 2, 2)
    assert "shared_with" not in found
    assert world.code(other.put_documents, [GUIDE_DOCUMENT], owner=acme) == "not_owner"
    assert world.code(other.delete_documents, ["guide.md"], owner=acme) == "not_owner"
    assert world.plain(told(notes.documents()))[0]["shared_with"] == ["globex"]
    longer = {"id": "guide.md", "text": GUIDE + "# More\n\nMuch more.", "media_type": "text/markdown"}
    put(notes, longer, chunk_size=8)  # grants are kept, new chunks take them
    assert world.plain(other.get_documents(["guide.md"], owner=acme))[0]["n_stored"] == 3
    assert world.code(notes.put_documents, [longer | {"shared_with": []}]) == "sharing_forbidden"
    assert put(as_service, longer | {"shared_with": []}, chunk_size=8) == [("guide.md", "updated", 3, 0)]
    assert told(other.get_documents(["guide.md"], owner=acme)) == []


def test_who_may_not_share_stores_nothing_and_a_wrong_name_only_its_document(world: World, notes: Any) -> None:
    shared = {"id": "d", "text": "x", "shared_with": [world.name("nobody")]}
    assert world.code(notes.put_documents, [GUIDE_DOCUMENT, shared]) == "sharing_forbidden"
    as_service = world.tenant("acme", "service").collection(world.name("notes"))
    assert (
        world.code(as_service.put_documents, [GUIDE_DOCUMENT, shared | {"shared_with": ["*"]}]) == "sharing_forbidden"
    )
    assert told(notes.documents()) == []
    (_, result) = told(as_service.put_documents([GUIDE_DOCUMENT, shared]))["documents"]
    assert result["error"]["code"] == "unknown_grantee"
    assert [fault["pointer"] for fault in result["error"]["errors"]] == ["/documents/1/shared_with/0"]
    assert [found["id"] for found in told(notes.documents())] == ["guide.md"]


def test_documents_expire_whole(world: World, notes: Any) -> None:
    past, future = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    assert put(notes, GUIDE_DOCUMENT | {"expires_at": past}, chunk_size=8) == [("guide.md", "created", 2, 0)]
    assert told(notes.documents()) == told(notes.get_documents(["guide.md"])) == []
    assert put(notes, GUIDE_DOCUMENT | {"expires_at": future}, chunk_size=8) == [("guide.md", "created", 2, 0)]
    assert "expires_at" in told(notes.documents())[0]
    assert put(notes, GUIDE_DOCUMENT, chunk_size=8) == [("guide.md", "updated", 2, 0)]
    assert "expires_at" not in told(notes.documents())[0] and notes.count() == 2


def test_a_model_of_another_version_refuses_the_request(world: World) -> None:
    made = world.code(
        world.admin.create_collection, world.name("old"), 32, embedding={"model": "lexical", "version": "0"}
    )
    assert made == "model_mismatch"
