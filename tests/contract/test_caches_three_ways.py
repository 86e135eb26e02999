"""Semantic caches in every way to reach the engine: what comes out, and which code each bad input has."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.contract.bad_caches import BAD_CACHES, BAD_LOOKUPS, BAD_POLICIES, BAD_STORES, HEX, WHO, Act, X
from tests.contract.conftest import XY, Y
from tests.contract.ways import World
from vdb.errors import VdbError

NEAREST = {"threshold": 0.9, "explore": 0.0, "guard": False, "ttl_jitter": 0.0}
NEAR_X = [0.99, 0.1, 0.0]
"""Cosine .995 to X."""


def told(answer: Any) -> Any:
    """An answer as JSON data, whatever way it came; what was not asked for is left out."""
    return msgspec.to_builtins(answer)


@pytest.fixture
def answers(world: World) -> Iterator[Any]:
    """A cache of dimension 3 with the category `faq`, as acme's application sees it."""
    world.admin.create_cache(world.name("answers"), 3)
    world.admin.cache(world.name("answers")).put_policy("faq", **NEAREST)
    yield world.cache("answers", "acme")
    world.admin.delete_cache(world.name("answers"))  # a server holds a hundred


def _missed(cache: Any, text: str = WHO, vector: Any = X, **given: Any) -> Any:
    found = told(cache.lookup(text, vector, category="faq", **given))
    assert found["hit"] is None, found
    return found


def _stored(cache: Any, answer: Any = "I.", text: str = WHO, vector: Any = X, **given: Any) -> Any:
    return told(cache.store(_missed(cache, text, vector)["lookup_id"], answer, **given))


def _held(cache: Any) -> int:
    return int(told(cache.stats())["n_entries"])


def test_caches_are_made_listed_changed_and_removed(world: World) -> None:
    admin, name = world.admin, world.name("answers")
    made = world.plain(admin.create_cache(name, 3, embedding_version="v1", max_entries=10, metadata={"team": "search"}))
    wanted = {"name": "answers", "dimension": 3, "embedding_version": "v1", "max_entries": 10, "max_bytes": 1 << 30}
    wanted |= {"reject_margin": 0.05, "metadata": {"team": "search"}, "tenants": None}
    assert made == wanted
    assert world.code(admin.create_cache, name, 3) == "already_exists"
    assert world.plain(admin.get_cache(name)) == wanted
    assert wanted in world.plain(admin.caches())
    admin.create_tenant(world.name("acme"))
    changed = world.plain(admin.update_cache(name, max_entries=20, tenants=[world.name("acme")]))
    assert changed == wanted | {"max_entries": 20, "tenants": ["acme"]}
    assert "tenants" not in world.plain(world.tenant("acme").get_cache(name))
    assert world.code(world.tenant("globex").get_cache, name) == "cache_not_found"
    assert world.code(world.cache("answers", "globex").lookup, WHO, X) == "cache_not_found"
    assert world.plain(world.tenant("globex").caches()) == []
    assert world.plain(admin.delete_cache(name)) == {"deleted": True}
    assert world.code(admin.get_cache, name) == "cache_not_found"
    assert world.code(world.cache("answers", "acme").lookup, WHO, X) == "cache_not_found"


def test_policies_are_put_whole_read_and_removed(world: World, answers: Any) -> None:
    admin = world.admin.cache(world.name("answers"))
    put = told(admin.put_policy("chat", mode="shadow", ttl_s=60, examples=[{"text": WHO, "vector": X}]))
    assert (put["category"], put["mode"], put["ttl_s"], put["n_examples"]) == ("chat", "shadow", 60.0, 1)
    assert (put["threshold"], put["max_false_per_request"], put["explore"]) == (None, 0.01, 0.05)
    assert told(answers.policy("chat")) == {name: value for name, value in put.items() if name != "judge_url"}
    listed = told(answers.policies())
    assert [policy["category"] for policy in listed["policies"]] == ["chat", "faq"]
    assert (listed["unknown"]["mode"], listed["unknown"]["ttl_s"]) == ("shadow", 60.0)
    assert told(admin.put_policy("chat"))["mode"] == "semantic"
    assert told(admin.delete_policy("chat")) == {"deleted": True}
    assert world.code(answers.policy, "chat") == "policy_not_found"
    assert world.code(admin.delete_policy, "chat") == "policy_not_found"
    assert world.code(admin.put_policy, "Not-A-Name") == "invalid_argument"
    assert world.code(answers.put_policy, "chat") == "forbidden"


def test_a_miss_is_answered_stored_and_hit(world: World, answers: Any) -> None:
    found = _missed(answers)
    assert (found["reason"], found["category"], found["category_from"]) == ("empty", "faq", "request")
    assert found["lease"]["expires_in_s"] > 0.0 and len(found["lookup_id"]) == 16
    assert found["entry"] is found["candidate"] is None
    stored = told(answers.store(found["lookup_id"], {"text": "I."}))
    assert (stored["reason"], stored["label"]) == ("stored", None)
    exact = told(answers.lookup(f"  {WHO} ", category="faq"))
    assert (exact["hit"], exact["entry"]["id"], exact["entry"]["answer"]) == (
        "exact",
        stored["entry_id"],
        {"text": "I."},
    )
    assert exact["entry"]["text"] == WHO and exact["entry"]["age_s"] >= 0.0 and exact["entry"]["sources"] == []
    near = told(answers.lookup("Who is it?", NEAR_X, category="faq"))
    assert (near["hit"], near["entry"]["answer"], near["threshold"]) == ("semantic", {"text": "I."}, 0.9)
    assert near["similarity"] == pytest.approx(0.995, abs=1e-3) and near["is_relaxed"] is False
    far = told(answers.lookup("What is that?", Y, category="faq", with_candidate=True))
    assert (far["hit"], far["candidate"]["text"], far["candidate"]["answer"]) == (None, WHO, {"text": "I."})
    label = told(answers.store(far["lookup_id"], "That.", verdict="wrong"))
    assert (label["reason"], label["label"]) == ("stored", "wrong")


def test_case_and_punctuation_tell_questions_apart(world: World, answers: Any) -> None:
    answers.store(None, "Sharp.", text="Is C# old?", category="faq")
    assert told(answers.lookup("Is C# old?", category="faq"))["hit"] == "exact"
    assert told(answers.lookup("Is c# old?", category="faq"))["hit"] is None
    assert told(answers.lookup("Is C++ old?", category="faq"))["hit"] is None


@pytest.mark.parametrize("field", ["scope", "model", "fingerprint", "turns"])
def test_what_has_to_be_equal_keeps_answers_apart(world: World, answers: Any, field: str) -> None:
    world.admin.cache(world.name("answers")).put_policy("faq", **NEAREST, turns="equal")
    answers.store(None, "Mine.", text=WHO, vector=X, category="faq", **{field: "one"})
    assert told(answers.lookup(WHO, X, category="faq"))["hit"] is None
    assert told(answers.lookup(WHO, X, category="faq", **{field: "two"}))["hit"] is None
    assert told(answers.lookup(WHO, X, category="faq", **{field: "one"}))["hit"] == "exact"


def test_tenants_never_meet(world: World, answers: Any) -> None:
    entry_id = _stored(answers)["entry_id"]
    missed = _missed(answers, "What?", Y)["lookup_id"]
    other = world.cache("answers", "globex")
    assert _missed(other)["reason"] == "empty"
    assert (told(other.entries() if world.way == "raw" else list(other.entries())), _held(other)) == ([], 0)
    assert _said(other.store, missed, "Stolen.") == _said(other.store, HEX, "Stolen.")
    assert _said(other.feedback, missed) == _said(other.feedback, HEX)
    assert _said(other.get_entry, entry_id) == _said(other.get_entry, HEX)
    assert told(other.feedback(entry_id=entry_id)) == told(other.feedback(entry_id=HEX))
    assert told(other.invalidate([entry_id]))["n_entries"] == 0
    assert (_held(answers), _held(other)) == (1, 0)
    assert told(answers.store(missed, "Mine."))["reason"] == "stored"


def test_what_is_not_an_answer_is_not_stored(world: World, answers: Any) -> None:
    for outcome in ("error", "incomplete", "private"):
        found = _missed(answers)
        assert found["lease"] is not None, "the lease was given back"
        assert _missed(answers)["lease"] is None
        stored = told(answers.store(found["lookup_id"], outcome=outcome))
        assert (stored["entry_id"], stored["reason"]) == (None, outcome)
    assert _held(answers) == 0


def test_equal_questions_wait_for_the_one_who_answers(world: World, answers: Any) -> None:
    found = _missed(answers)
    waited = told(answers.lookup(WHO, X, category="faq", wait_ms=50))
    assert (waited["hit"], waited["lease"]) == (None, None)
    assert told(answers.store(found["lookup_id"], "I.", lease=found["lease"]["id"]))["reason"] == "stored"
    assert told(answers.lookup(WHO, X, category="faq", wait_ms=50))["hit"] == "exact"


def test_a_wrong_answer_goes_and_a_right_one_stays(world: World, answers: Any) -> None:
    _stored(answers)
    served = told(answers.lookup(WHO, X, category="faq"))
    assert told(answers.feedback(served["lookup_id"], "right"))["n_removed"] == 0
    assert told(answers.feedback(served["lookup_id"], "wrong"))["n_removed"] == 1
    assert told(answers.feedback(served["lookup_id"], "wrong"))["n_removed"] == 0
    assert _held(answers) == 0
    entry_id = _stored(answers)["entry_id"]
    assert told(answers.feedback(entry_id=entry_id))["n_removed"] == 1


def test_entries_are_listed_page_by_page(world: World, answers: Any) -> None:
    wanted = {f"question {i}": i for i in range(7)}
    for text, answer in wanted.items():
        answers.store(None, answer, text=text, category="faq")
    found = [told(entry) for entry in answers.entries(page_size=3, with_answer=True)]
    assert {entry["text"]: entry["answer"] for entry in found} == wanted
    bare = [told(entry) for entry in answers.entries("faq", page_size=7)]
    assert len(bare) == 7 and all("answer" not in entry for entry in bare)
    assert list(answers.entries("unknown")) == []
    one = told(answers.get_entry(found[0]["id"]))
    assert (one["answer"], one["category"]) == (found[0]["answer"], "faq")


def test_entries_go_by_id_category_and_tenant(world: World, answers: Any) -> None:
    admin = world.admin.cache(world.name("answers"))
    admin.put_policy("chat", **NEAREST)
    ids = [told(answers.store(None, i, text=f"question {i}", category="faq"))["entry_id"] for i in range(3)]
    answers.store(None, "Hi.", text="Hello", category="chat")
    world.cache("answers", "globex").store(None, "Hi.", text="Hello", category="chat")
    dry = told(answers.invalidate(ids[:2], dry_run=True))
    assert (dry["n_entries"], dry["dry_run"], _held(answers)) == (2, True, 4)
    assert told(answers.invalidate(ids[:2]))["n_entries"] == 2
    assert told(answers.invalidate(ids, category="chat"))["n_entries"] == 0
    assert told(admin.invalidate(category="chat", dry_run=True))["n_entries"] == 2
    assert told(admin.invalidate(tenant=world.name("acme"), category="chat"))["n_entries"] == 1
    assert (_held(answers), _held(world.cache("answers", "globex"))) == (1, 1)
    assert told(admin.invalidate(tenant="no-such-thing"))["n_entries"] == 0
    assert told(answers.invalidate(embedding_version="old"))["n_entries"] == 0
    assert told(admin.invalidate(embedding_version=""))["n_entries"] == 2


def test_an_answer_dies_with_its_sources(world: World, answers: Any, docs: Any) -> None:
    version = told(docs.get(["a"])[0])["version"]
    source = {"collection": world.name("docs"), "id": "a", "version": version}
    _stored(answers, sources=[source])
    found = told(answers.lookup(WHO, category="faq"))
    assert world.plain(found["entry"]["sources"])[0] == {"collection": "docs", "owner": "acme", "id": "a"}
    docs.upsert(["a"], [Y])
    stale = told(answers.lookup(WHO, category="faq"))
    assert stale["hit"] is None
    assert told(answers.store(stale["lookup_id"], "Old.", sources=[source]))["reason"] == "sources_changed"
    named = {"collection": world.name("docs"), "id": "b", "owner": world.name("acme")}
    fresh = {"collection": world.name("docs"), "id": "b", "version": told(docs.get(["b"])[0])["version"]}
    answers.store(None, "Of b.", text="What is b?", category="faq", sources=[fresh])
    assert world.code(answers.invalidate, source=named | {"id": "a" * 600}) == "invalid_id"
    assert told(answers.invalidate(["0" * 16], source=named))["n_entries"] == 0
    assert told(answers.invalidate(source=named))["n_entries"] == 1


def test_an_answer_dies_when_a_search_would_find_more(world: World, answers: Any, docs: Any) -> None:
    asked = {"collection": world.name("docs"), "limit": 2}
    found = _missed(answers, retrieval=asked)
    hits = docs.search(X, limit=2)
    made = asked | {"vector": X, "sequence": hits.sequence, "distance": told(hits[-1])["distance"]}
    assert told(answers.store(found["lookup_id"], "Of two.", retrieval=made))["reason"] == "stored"
    docs.upsert(["far"], [XY])
    assert told(answers.lookup(WHO, X, category="faq", retrieval=asked))["hit"] == "exact"
    assert told(answers.lookup(WHO, X, category="faq", retrieval=asked | {"limit": 3}))["hit"] is None
    docs.upsert(["near"], [X])
    assert told(answers.lookup(WHO, X, category="faq", retrieval=asked))["hit"] is None


def test_an_answer_dies_when_a_search_by_words_would_find_more(world: World, answers: Any) -> None:
    name = world.name("docs")
    world.admin.create_collection(name, 3, text={"fields": {"text": 1}})
    docs = world.points("docs", "acme")
    docs.upsert(["pump"], None, [{"text": "an oil pump"}])
    asked = {"collection": name, "limit": 1}
    hits = docs.search(text="pump", mode="sparse", limit=1)
    named = [{"id": told(hit)["id"], "owner": told(hit)["owner"]} for hit in hits]
    made = asked | {"text": "pump", "mode": "sparse", "sequence": hits.sequence, "hits": named}
    found = _missed(answers, retrieval=asked)
    assert told(answers.store(found["lookup_id"], "Of one.", retrieval=made))["reason"] == "stored"
    docs.upsert(["other"], [X], [{"text": "a gasket"}])
    assert told(answers.lookup(WHO, X, category="faq", retrieval=asked))["hit"] == "exact"
    docs.upsert(["new"], None, [{"text": "pump pump"}])
    assert told(answers.lookup(WHO, X, category="faq", retrieval=asked))["hit"] is None


def test_stats_count_by_category(world: World, answers: Any) -> None:
    _stored(answers)
    answers.lookup(WHO, category="faq")
    answers.lookup("Who is it?", NEAR_X, category="faq")
    found = told(answers.stats())
    assert found["n_entries"] == 1 and "memory_bytes" not in found
    (faq,) = [row for row in found["categories"] if row["category"] == "faq"]
    counted = {name: faq[name] for name in ("n_entries", "requests", "exact_hits", "semantic_hits", "misses")}
    assert counted == {"n_entries": 1, "requests": 3, "exact_hits": 1, "semantic_hits": 1, "misses": 1}
    whole = told(world.admin.cache(world.name("answers")).stats())
    assert (whole["n_tenants"], whole["n_entries"]) == (1, 1) and whole["memory_bytes"] > 0


def test_roles_of_caches(world: World, answers: Any) -> None:
    reader = world.cache("answers", "acme", "read")
    assert told(reader.lookup(WHO, X, category="faq"))["hit"] is None
    for act, *args in (
        (reader.store, HEX, "I."), (reader.feedback, HEX), (reader.invalidate, [HEX]),
        (answers.put_policy, "faq"), (answers.delete_policy, "faq"),
        (world.tenant("acme").create_cache, world.name("mine"), 3),
        (world.tenant("acme").update_cache, world.name("answers")),
        (world.tenant("acme").delete_cache, world.name("answers")),
    ):  # fmt: skip
        assert world.code(act, *args) == "forbidden"
    assert world.code(world.admin.cache(world.name("answers")).lookup, WHO, X) == "tenant_required"


def test_a_vector_that_is_not_a_number_is_refused(world: World, answers: Any) -> None:
    if world.way == "raw":
        assert _said(answers.lookup, WHO, [float("nan"), 0.0, 0.0])[0] == "invalid_json"
        assert _said(answers.lookup, WHO, "AADAfwAAAAAAAAAA")[:2] == ("non_finite_vector", ("/vector",))
    else:
        assert _said(answers.lookup, WHO, np.array([np.nan, 0, 0]))[:2] == ("non_finite_vector", ("/vector",))
    assert _said(answers.lookup, WHO, [X])[1] == ("/vector",) or world.way == "raw"


BAD = [*BAD_LOOKUPS, *BAD_STORES]


@pytest.mark.parametrize(("act", "code", "pointer"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input_has_one_code_and_stores_nothing(
    world: World, answers: Any, act: Act, code: str, pointer: str
) -> None:
    found = _missed(answers)["lookup_id"]
    said = _said(act, answers, found)
    assert (said[0], said[1]) == (code, (pointer,) if pointer else said[1])
    assert _held(answers) == 0
    assert told(answers.store(found, "I."))["reason"] == "stored"


@pytest.mark.parametrize(("policy", "code", "pointer"), BAD_POLICIES)
def test_bad_policies_have_one_code_and_change_nothing(
    world: World, answers: Any, policy: dict[str, Any], code: str, pointer: str
) -> None:
    admin = world.admin.cache(world.name("answers"))
    said = _said(lambda: admin.put_policy("faq", **policy))
    assert (said[0], said[1]) == (code, (pointer,))
    assert told(answers.policy("faq"))["threshold"] == 0.9


@pytest.mark.parametrize(("act", "code"), BAD_CACHES)
def test_bad_management_of_caches_has_one_code(world: World, act: Any, code: str) -> None:
    assert world.code(act, world.admin, world.name("thing")) == code


def _said(act: Any, *args: Any) -> tuple[str, tuple[str, ...], str]:
    """Code, pointers and words of the error that a call raises."""
    with pytest.raises(VdbError) as caught:
        act(*args)
    error = caught.value
    return error.code, tuple(problem.pointer for problem in error.problems), error.detail
