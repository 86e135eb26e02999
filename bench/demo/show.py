"""The story of the demo, told line by line: load, search as each tenant, try to cross the border.

Every claim on the screen is checked; the first that fails ends the demo with exit code 1.
"""

import time
from collections import Counter

import numpy as np

import vdb.testing
from bench.demo.sample import Sentences, load
from vdb.client import Client, Collection, Hits
from vdb.errors import NotOwner, PointNotFound

TENANTS = ("northbank", "skylark")
SHARED = "house"
COLLECTION = "sentences"
SHOWN_QUERIES = ("why is my bank account locked", "is my luggage lost", "i would like to hear something funny")
N_HITS = 3
TEXT_CHARS = 58


class NotProved(Exception):
    """A claim of the demo does not hold."""


def run() -> int:
    """Run the demo on a server of its own; 0 if every claim held."""
    began = time.perf_counter()
    sets = load()
    n_points = sum(len(sets[name]) for name in (*TENANTS, SHARED))
    print(f"\nvdb demo: {n_points} real sentences (CLINC150, CC BY 3.0) as 384-dimensional vectors\n")
    with vdb.testing.server() as server:
        print(f"  a server runs on {server.url}, with an empty data directory\n")
        try:
            views = _load(server, sets)
            _search(views, sets["query"])
            _prove(views, sets)
        except NotProved as exc:
            print(f"\n  NOT PROVED: {exc}")
            return 1
    print(f"\n  server stopped, data removed; {time.perf_counter() - began:.1f} s in all\n")
    return 0


def _load(server: vdb.testing.RunningServer, sets: dict[str, Sentences]) -> dict[str, Collection]:
    """Write each tenant's sentences with a key of its own; share the house's with everyone, as an admin."""
    admin = server.admin()
    dimension = sets[SHARED].vectors.shape[1]
    admin.create_collection(COLLECTION, dimension=dimension, metric="cosine")
    print(f"1. One collection, `{COLLECTION}`, and three tenants in it")
    views = {}
    for name in (*TENANTS, SHARED):
        views[name] = _upload(server.client(name), sets[name])
        topic = sets[name].payloads[0]["domain"].replace("_", " ")
        print(f"     {name:<10} {len(sets[name]):>4} sentences about {topic}, written with its own key")
    admin.collection(COLLECTION, tenant=SHARED).grant(sets[SHARED].ids, to=["*"])
    print(f"     an admin shares the sentences of `{SHARED}` with everyone; they are still stored once")
    return views


def _upload(client: Client, sentences: Sentences) -> Collection:
    collection = client.collection(COLLECTION)
    collection.upsert(sentences.ids, sentences.vectors, sentences.payloads)
    return collection


def _search(views: dict[str, Collection], queries: Sentences) -> None:
    print("\n2. The same question, asked by each tenant (distance, owner, sentence)")
    for payload, vector in zip(queries.payloads, queries.vectors, strict=True):
        if payload["text"] not in SHOWN_QUERIES:
            continue
        print(f'\n     "{payload["text"]}"')
        for name in TENANTS:
            print(f"       as {name}:")
            _show(views[name].search(vector, limit=N_HITS))


def _show(hits: Hits) -> None:
    for hit in hits:
        print(f"         {hit.distance:.3f}  {hit.owner:<10} {hit.payload['text'][:TEXT_CHARS]}")


def _prove(views: dict[str, Collection], sets: dict[str, Sentences]) -> None:
    print("\n3. Proof that neither sees the other's points, and both see the shared ones")
    for name, other in (TENANTS, TENANTS[::-1]):
        _prove_search(views[name], name, other, sets)
        _prove_reading(views[name], name, other, sets)
        _prove_writing(views[name], name, other, sets)


def _prove_search(view: Collection, name: str, other: str, sets: dict[str, Sentences]) -> None:
    """Ask for more neighbours than the tenant may see, near the other's own sentences: all visible ones come back."""
    asked = np.concatenate([sets["query"].vectors, sets[other].vectors])[:256]
    for hits in view.search(asked, limit=1000):
        owners = Counter(hit.owner for hit in hits)
        _check(owners == {name: len(sets[name]), SHARED: len(sets[SHARED])}, f"a search as {name} found {owners}")
    print(f"     {name:<10} {len(asked)} searches for 1,000 neighbours each: its {len(sets[name])} sentences, ", end="")
    print(f"{len(sets[SHARED])} of {SHARED}, 0 of {other}")


def _prove_reading(view: Collection, name: str, other: str, sets: dict[str, Sentences]) -> None:
    """By id, by scroll and by count."""
    n_foreign = len(view.get(sets[other].ids, owner=other))
    n_shared = len(view.get(sets[SHARED].ids, owner=SHARED))
    _check(n_foreign == 0, f"{name} got {n_foreign} points of {other} by id")
    _check(n_shared == len(sets[SHARED]), f"{name} got {n_shared} shared points by id")
    owners = Counter(point.owner for point in view.scroll(scope="visible"))
    _check(set(owners) == {name, SHARED}, f"the scroll of {name} shows {owners}")
    _check(view.count(scope="visible") == len(sets[name]) + n_shared, f"{name} counts other points than it may see")
    print(f"     {name:<10} get by {len(sets[other])} ids of {other}: 0 found; by {n_shared} of {SHARED}: all found")


def _prove_writing(view: Collection, name: str, other: str, sets: dict[str, Sentences]) -> None:
    """A foreign point answers like one that does not exist; a shared one may be read, not written."""
    answers = [_refusal(view, point_id, other) for point_id in (sets[other].ids[0], "no-such-point")]
    _check(answers[0] == answers[1] == "point_not_found", f"deletes as {name} answered {answers}")
    shared = _refusal(view, sets[SHARED].ids[0], SHARED)
    _check(shared == "not_owner", f"deleting a shared point answered {shared}")
    print(f"     {name:<10} delete a point of {other}: {answers[0]}, as for one that never was; of {SHARED}: {shared}")


def _refusal(view: Collection, point_id: str, owner: str) -> str:
    try:
        view.delete([point_id], owner=owner)
    except (NotOwner, PointNotFound) as exc:
        return exc.code
    return "deleted"


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotProved(otherwise)
