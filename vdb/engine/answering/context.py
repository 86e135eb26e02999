"""The context of a question: how many tokens it may have, which passages go into it, the prompt that comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from vdb.engine.answering.asking import Asking
from vdb.errors import BudgetTooSmall
from vdb.protocol.answer_answers import Context, Dropped
from vdb.rag.generate.base import Asked, Backend, Message
from vdb.rag.passage import Passage

__all__ = ["MESSAGE_TOKENS", "Prompt", "prompt_for"]

MESSAGE_TOKENS = 8
"""What a message takes beyond its text."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a backend is asked, and what became of the passages on the way. `asked.passages` in their order in it."""

    asked: Asked
    context: Context
    dropped: list[Dropped]


def prompt_for(
    asking: Asking, backend: Backend, passages: Sequence[Passage], is_whole: bool, at_most: int | None
) -> Prompt:
    """The prompt for a backend, with a context of `at_most` tokens, if that is given; raises BudgetTooSmall."""
    question = asking.question
    max_tokens = backend.max_tokens if question.max_tokens is None else question.max_tokens
    history_tokens = sum(backend.counter.count([question.text, *(turn.content for turn in question.history)]))
    left = backend.context_tokens - max_tokens - history_tokens - MESSAGE_TOKENS * (len(question.history) + 2)
    budget = left if asking.context.budget_tokens is None else min(left, asking.context.budget_tokens)
    budget = budget if at_most is None else min(budget, at_most)
    chosen: list[Passage] = []
    n_tokens = 0
    for passage, n in zip(passages, backend.counter.count([passage.text for passage in passages]), strict=True):
        if n_tokens + n <= budget and passage.text.strip():
            chosen.append(passage)
            n_tokens += n
    if not chosen:
        raise BudgetTooSmall.at(asking.at("/context/tokens"), f"not one passage fits into {max(0, budget)} tokens")
    block = "\n".join(f"[{n}] {passage.text}" for n, passage in enumerate(chosen, 1))
    messages = [Message("system", block), *question.history, Message("user", question.text)]
    asked = Asked(
        question.text, chosen, messages, max_tokens, question.temperature, question.top_p, question.seed, question.stop
    )
    context = Context(
        passages=len(chosen),
        tokens=n_tokens,
        budget_tokens=budget,
        whole=is_whole and len(chosen) == len(passages),
        exact=backend.counter.is_exact,
    )
    return Prompt(asked, context, [])
