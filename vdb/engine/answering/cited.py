"""Answers as they are told: sentences with their citations, the references that they cite, what it took."""

from collections.abc import Sequence

from vdb.engine.answering.asking import Asking
from vdb.engine.answering.retrieval import Found
from vdb.engine.answering.writing import Written
from vdb.protocol.answer_answers import CitedAnswer, Context, FromCache, Reference, Sentence, Timings, TokenUsage
from vdb.rag.passage import Passage

__all__ = ["cited_answer", "not_found", "reference_of"]


def cited_answer(
    asking: Asking, found: Found, support: float, written: Written, cache: FromCache, timings: Timings
) -> CitedAnswer:
    """The answer that a backend has written. One without citations is an answer all the same."""
    passages, citations, generated = written.prompt.asked.passages, written.citations, written.generated
    with_texts = asking.question.options.with_texts
    return CitedAnswer(
        answer=_sentences(citations.sentences()),
        text=written.text,
        references=[reference_of(passages[place], with_texts) for place in citations.order],
        found=True,
        support=support if generated.support is None else generated.support,
        threshold=asking.threshold,
        finish_reason=generated.finish_reason,
        backend=written.backend.name,
        model=generated.model,
        template=f"{asking.template.name}@{asking.template.version}",
        sequence=found.sequence,
        usage=TokenUsage(
            prompt_tokens=generated.usage.prompt_tokens,
            completion_tokens=generated.usage.completion_tokens,
            counted=generated.usage.is_counted,
        ),
        context=written.prompt.context,
        cache=cache,
        timings=timings,
        unknown_citations=citations.n_unknown,
    )


def not_found(asking: Asking, found: Found, support: float, cache: FromCache, timings: Timings) -> CitedAnswer:
    """The answer where the passages bear none: no backend was asked."""
    backend, text = asking.backends[0], asking.template.not_found
    return CitedAnswer(
        answer=[Sentence(text=text, citations=[])],
        text=text,
        references=[],
        found=False,
        support=support,
        threshold=asking.threshold,
        finish_reason="stop",
        backend=backend.name,
        model=backend.model,
        template=f"{asking.template.name}@{asking.template.version}",
        sequence=found.sequence,
        usage=TokenUsage(prompt_tokens=0, completion_tokens=0, counted=True),
        context=Context(passages=0, tokens=0, budget_tokens=0, exact=backend.counter.is_exact, backend=found.backend),
        cache=cache,
        timings=timings,
    )


def reference_of(passage: Passage, with_texts: bool) -> Reference:
    """A passage as answers state it."""
    reference = Reference(
        id=passage.id,
        owner=passage.owner,
        version=passage.version,
        score=passage.score,
        document=passage.document,
        chunk=passage.chunk,
        title=passage.title,
        heading=list(passage.heading),
        start=passage.start,
        end=passage.end,
        page=passage.page,
    )
    if with_texts:
        reference.text = passage.text
    return reference


def _sentences(said: Sequence[tuple[str, list[int]]]) -> list[Sentence]:
    return [Sentence(text=text, citations=places) for text, places in said]
