"""Calibrate what a collection takes for "not found", on questions of which it is known whether they have an answer.

Each question is asked as an answer would be, up to the support that it finds; no backend is asked. What comes of it
holds for all tenants, so only an admin may do it.
"""

import msgspec
from msgspec import UnsetType

from vdb.engine.answering.asking import asking_of
from vdb.engine.answering.choices import answering_of
from vdb.engine.answering.question import Question
from vdb.engine.answering.retrieval import retrieve
from vdb.engine.answering.supporting import supported
from vdb.engine.askers import askers
from vdb.engine.commit import Group
from vdb.engine.names import PinnedName
from vdb.engine.services import Services
from vdb.errors import CollectionNotFound, EmptyBatch, InvalidArgument, TooLarge
from vdb.protocol.answer_requests import AnswerOptions
from vdb.protocol.calibrating import AnswersCalibrated, CalibrateAnswers
from vdb.rag.extractive import DEFAULT_THRESHOLD
from vdb.rag.extractive.calibration import calibrated, lost_bound, n_needed
from vdb.storage.catalog import ACTIVE, CollectionDocument, collection_by_id
from vdb.types import Caller

__all__ = ["MAX_QUESTIONS", "calibrate_answers"]

MAX_QUESTIONS = 2_000


def calibrate_answers(
    services: Services, caller: Caller, path: tuple[str, ...], request: CalibrateAnswers
) -> AnswersCalibrated:
    """The threshold that the questions bear, kept unless `dry_run`.

    Raises what `answer` and `search` raise, with the question at fault.
    """
    collection = services.usable(caller, path[0])
    _check(request)
    supports: dict[int, float] = {}
    tenants = [question.tenant for question in request.questions]
    for tenant_id, places in askers(services, caller, collection, tenants, "/questions").items():
        asker = caller._replace(tenant=services.tenant_name(tenant_id), tenant_id=tenant_id)
        for place in places:
            supports[place] = _support(services, asker, collection, request, place)
    answerable = [value for place, value in supports.items() if request.questions[place].answerable]
    others = [value for place, value in supports.items() if not request.questions[place].answerable]
    found = calibrated(answerable, others, request.max_lost)
    is_kept = found.threshold is not None and not request.dry_run
    if found.threshold is not None and is_kept:
        _keep(services, collection, found.threshold)
    holds = answering_of(collection).threshold
    before = DEFAULT_THRESHOLD if holds is None else holds
    threshold = before if found.threshold is None else found.threshold
    return AnswersCalibrated(
        threshold=threshold,
        kept=is_kept,
        n_answerable=len(answerable),
        n_unanswerable=len(others),
        lost=_n_below(answerable, threshold) / len(answerable),
        lost_bound=lost_bound(_n_below(answerable, threshold), len(answerable)),
        refused=_n_below(others, threshold) / len(others) if others else None,
        needed=n_needed(request.max_lost),
    )


def _check(request: CalibrateAnswers) -> None:
    if not request.questions:
        raise EmptyBatch.at("/questions", "no questions were given")
    if len(request.questions) > MAX_QUESTIONS:
        raise TooLarge.at("/questions", f"up to {MAX_QUESTIONS} questions")
    if not 0 < request.max_lost <= 1:
        raise InvalidArgument.at("/max_lost", "max_lost is above 0, and at most 1")
    if not any(question.answerable for question in request.questions):
        raise InvalidArgument.at("/questions", "none of the questions is answerable")


def _support(
    services: Services, caller: Caller, collection: CollectionDocument, request: CalibrateAnswers, place: int
) -> float:
    given = request.questions[place]
    at = f"/questions/{place}"
    options = AnswerOptions(vector=given.vector, min_sequence=request.min_sequence, timeout_s=request.timeout_s)
    name = PinnedName(collection.name, collection.id)
    asking = asking_of(services, caller, Question(name, given.text, options, text_at=f"{at}/text", options_at=at))
    found = retrieve(services, asking, asking.search, 0)
    hits = found.answer.hits
    if isinstance(hits, UnsetType):
        return 0.0
    return supported(services, collection, asking.tenant_id, given.text, found.passages, hits).support


def _n_below(supports: list[float], threshold: float) -> int:
    return sum(value < threshold for value in supports)


def _keep(services: Services, collection: CollectionDocument, threshold: float) -> None:
    def apply(group: Group) -> None:
        known = collection_by_id(group.txn, collection.id)
        if known is None or known.state != ACTIVE:
            raise CollectionNotFound("no such collection")
        answering = msgspec.structs.replace(answering_of(known), threshold=threshold)
        services.catalog.put_collection(group, msgspec.structs.replace(known, answering=answering), known)

    services.catalog.write(apply)
