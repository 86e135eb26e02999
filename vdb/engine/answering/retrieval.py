"""What is found for a question: passages of a search, and all that the tenant may see, where that may fit.

A search is the one that `search` does, in process.
"""

from dataclasses import dataclass
from typing import Literal

from msgspec import UnsetType
from msgspec.structs import replace

from vdb.engine.answering.asking import Asking
from vdb.engine.answering.passages import FoundPassages, PassageReader
from vdb.engine.answering.searched import searched
from vdb.engine.matching import matches_of
from vdb.engine.read import visible
from vdb.engine.services import Services
from vdb.protocol.answers import SearchAnswer
from vdb.protocol.requests import Search
from vdb.rag.passage import Passage
from vdb.storage.keyspace import EVERYONE_ID
from vdb.storage.points import count_grants, read_usage

__all__ = ["BYTES_PER_TOKEN", "WHOLE_POINTS", "Found", "everything", "retrieve"]

WHOLE_POINTS = 512
"""A tenant that may see more points is not looked at for whether they all fit."""
BYTES_PER_TOKEN = 16
"""More bytes of payload per token of the budget than this do not fit, whatever the words: so they are not read."""


@dataclass(frozen=True, slots=True)
class Found:
    """`passages`, best first, and the search's answer; `everything`, in order of insertion, where it may fit: what the
    search did not find of it has the score 0.

    `sequence` is that of the earlier of the two.
    """

    passages: FoundPassages
    answer: SearchAnswer
    sequence: int
    everything: list[Passage] | None = None

    @property
    def backend(self) -> Literal["cpu", "gpu"]:
        """What searched the vectors."""
        return "cpu" if isinstance(self.answer.backend, UnsetType) else self.answer.backend


def retrieve(services: Services, asking: Asking, request: Search, whole_tokens: int) -> Found:
    """The passages that a search, `request`, finds; everything too, where it may fit into `whole_tokens`, 0 for never.

    Waits for models where it has to; raises as `search` does.
    """
    whole = everything(services, asking, whole_tokens) if whole_tokens > 0 else None
    answer = searched(services, asking.caller, asking.collection, request, may_be_kept=asking.may_be_kept)
    hits = [] if isinstance(answer.hits, UnsetType) else answer.hits
    passages = FoundPassages(asking.collection, hits)
    if whole is None:
        return Found(passages, answer, answer.sequence)
    scores = {(hit.owner, hit.id): score for hit, score in zip(hits, passages.scores, strict=True)}
    scored = [replace(one, score=scores.get((one.owner, one.id), 0.0)) for one in whole[0]]
    return Found(passages, answer, whole[1], scored)


def everything(services: Services, asking: Asking, budget_tokens: int) -> tuple[list[Passage], int] | None:
    """All that the tenant may see and the filter lets through, and the sequence of that moment.

    None where it cannot fit into so many tokens, which is found out cheaply.
    """
    matches = matches_of(asking.parsed_filter)
    tenant = asking.tenant_id
    reader = PassageReader(asking.collection)
    with services.shards.use(asking.collection) as shard, shard.snapshot() as snapshot:
        usage = read_usage(snapshot.txn, tenant)
        if usage.points > WHOLE_POINTS or usage.payload_bytes > BYTES_PER_TOKEN * budget_tokens:
            return None
        n_granted = sum(count_grants(snapshot.txn, grantee, WHOLE_POINTS + 1) for grantee in (tenant, EVERYONE_ID))
        if usage.points + n_granted > WHOLE_POINTS:
            return None
        passages, n_bytes = [], 0
        for _, owner, record in visible(snapshot, tenant, "visible", 0):
            if matches is not None and not matches(record.payload):
                continue
            n_bytes += len(record.payload)
            if n_bytes > BYTES_PER_TOKEN * budget_tokens:
                return None
            name = services.tenant_name(owner)
            passage = reader.read(record.id.decode(), name, record.version, 0.0, record.payload)
            if passage.text.strip():
                passages.append(passage)
        return passages, snapshot.sequence
