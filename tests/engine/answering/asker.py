"""Questions asked through the cache in front, with a stand-in for whoever writes the answers."""

from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from tests.engine.driver import Driver
from vdb.engine.answering.cache_choices import cache_choice
from vdb.engine.answering.cached import Front, FrontFound
from vdb.engine.search import search
from vdb.protocol.answer_answers import (
    CitedAnswer,
    Context,
    Dropped,
    FromCache,
    Reference,
    Sentence,
    Timings,
    TokenUsage,
)
from vdb.protocol.answering import Answering
from vdb.protocol.answers import SearchAnswer
from vdb.protocol.cache_requests import CreateCache, PutPolicy
from vdb.protocol.requests import CreateCollection, EmbeddingModel, Empty, Search, TextIndex, UpdateCollection
from vdb.rag.passage import Passage
from vdb.types import Metric, Role

QUESTION = "which pump leaks oil"
OTHER_WORDS = "which pump leaks the oil"
TEXTS = {"first": "the pump leaks oil", "second": "an oil pump", "third": "a gasket", "fourth": "a valve"}


class Asker:
    """Asks a collection with the built-in embedder, as the use case does, through the cache `replies`."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.services = driver.engine.services

    def fill(self) -> None:
        made = CreateCollection(
            name="docs", dimension=64, metric=Metric.COSINE, text=TextIndex(),
            embedding=EmbeddingModel(model="lexical", version="1"),
        )  # fmt: skip
        self.driver.run("create_collection", None, (), made)
        self.driver.run("create_cache", None, (), CreateCache(name="replies", dimension=64))
        policy = PutPolicy(threshold=0.9, explore=0.0, guard=False, ttl_s=3600.0)
        self.driver.run("put_policy", None, ("replies", "faq"), policy)
        own = Answering(cache="replies", category="faq")
        self.driver.run("update_collection", None, ("docs",), UpdateCollection(answering=own))
        for tenant in ("acme", "globex"):
            self.driver.create_tenant(tenant)
            self.put(tenant, TEXTS)

    def put(self, tenant: str, texts: dict[str, str]) -> None:
        payloads = [{"text": text} for text in texts.values()]
        rows = self.embedded(list(texts.values()))
        self.driver.upsert(tenant, "docs", list(texts), rows, payloads=payloads)

    def embedded(self, texts: list[str]) -> Any:
        embedder = self.services.models.embedder("lexical")
        assert embedder is not None
        return embedder.embed_queries(texts, 64)

    @property
    def collection(self) -> Any:
        return self.services.catalog.collection("docs")

    def front(self, tenant: str = "acme", text: str = QUESTION, **given: Any) -> Front:
        caller = self.driver.caller(tenant, given.pop("role", Role.ADMIN))
        choice = cache_choice(self.services, caller, self.collection, given.pop("cache", UNSET), "")
        asked = Search(text=text, limit=given.pop("limit", 3), filter=given.pop("filter", None))
        for name in ("mode", "reranker", "fusion"):
            if name in given:
                setattr(asked, name, given.pop(name))
        known: dict[str, Any] = {"vector": None, "history": (), "fingerprint": "f", "load": 0.0} | given
        return Front(
            self.services, caller, caller.tenant_id or 0, choice, self.collection, asked,
            known["vector"], known["history"], known["fingerprint"], known["load"],
        )  # fmt: skip

    def found(self, front: Front) -> SearchAnswer:
        asked = replace(front._search, vector=UNSET if front._vector is None else front._vector)
        answer = search(self.services, front._caller, ("docs",), asked, None)
        assert isinstance(answer, SearchAnswer)
        return answer

    def ask(self, tenant: str = "acme", text: str = QUESTION, **given: Any) -> FrontFound:
        """Ask, and where the cache has no answer, make one of the two best passages; what the cache said."""
        n_packed, is_whole, answer = given.pop("n_packed", 2), given.pop("whole", False), given.pop("answer", {})
        with self.front(tenant, text, **given) as front:
            said = front.look_up()
            if said.answer is None:
                found = self.found(front)
                passages = passages_of(found)[:n_packed]
                front.store(cited(found, passages, **answer), passages, None if is_whole else found)
            return said

    def is_hit(self, tenant: str = "acme", text: str = QUESTION, **given: Any) -> bool:
        with self.front(tenant, text, **given) as front:
            return front.look_up().answer is not None

    def entries(self, tenant: str = "acme") -> int:
        return int(self.driver.run("cache_stats", tenant, ("replies",), Empty()).n_entries)


def passages_of(found: SearchAnswer) -> list[Passage]:
    hits = found.hits
    assert isinstance(hits, list)
    return [Passage(hit.id, hit.owner, hit.version, TEXTS.get(hit.id, "new"), 1.0) for hit in hits]


def cited(searched: SearchAnswer, passages: list[Passage], **changed: Any) -> CitedAnswer:
    first = passages[0]
    dropped = [Dropped(id="x", owner="acme", reason="budget", tokens=1)]
    fields: dict[str, Any] = {
        "answer": [Sentence(text="The first.", citations=[0])], "text": "The first. [1]",
        "references": [Reference(id=first.id, owner=first.owner, version=first.version, score=1.0)],
        "found": True, "support": 0.8, "threshold": 0.2, "finish_reason": "stop", "backend": "b", "model": "m",
        "template": "default@1", "sequence": searched.sequence,
        "usage": TokenUsage(prompt_tokens=7, completion_tokens=3),
        "context": Context(passages=2, tokens=9, budget_tokens=99, dropped=dropped),
        "cache": FromCache(hit=None, reason="off"), "timings": Timings(total_ms=5.0),
    }  # fmt: skip
    return CitedAnswer(**fields | changed)
