"""The context of a question: how many tokens it may have, which passages go into it, the prompt that comes of it.

A backend's context holds the prompt and the answer: what is left for passages is its tokens less those of the answer,
of the messages without passages, and of what the backend adds to each message. All are counted by the backend's own
counter. Tokens of a text need not be the sum of its parts': where little is left over, the whole prompt is counted, and
packed anew into so much less as it is too long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from vdb.engine.answering.asking import Asking
from vdb.engine.answering.passages import FoundPassages
from vdb.engine.answering.retrieval import Found
from vdb.engine.answering.supporting import Supported
from vdb.errors import BudgetTooSmall
from vdb.protocol.answer_answers import Context, Dropped
from vdb.rag.extractive import EXTRACTIVE
from vdb.rag.generate.base import Asked, Backend, Message
from vdb.rag.pack import Left, Packed, PackOptions, pack
from vdb.rag.passage import Passage
from vdb.rag.prompt import context_block, messages

__all__ = ["MOST_ATTEMPTS", "NEAR_TOKENS", "Material", "Prompt", "prompt_for", "room_of"]

NEAR_TOKENS = 64
"""Where less than this is left over, the whole prompt is counted."""
MOST_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Material:
    """What a prompt is made of beside the question: what was found, how well that bears an answer, near misses."""

    found: Found
    supported: Supported
    examples: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a backend is asked, and what became of the passages. `asked.passages` in the order of the context.

    `is_whole`: the context holds everything that the tenant may see.
    """

    asked: Asked
    context: Context
    dropped: list[Dropped]


def room_of(asking: Asking, backend: Backend, examples: Sequence[tuple[str, str]]) -> int:
    """Tokens of a backend's context that are left for passages; maybe less than none."""
    question = asking.question
    if backend.name == EXTRACTIVE:
        bare = [Message("user", question.text)]
    else:
        bare = messages(asking.template, question.text, (), question.history, examples)
    return backend.context_tokens - _answer_tokens(asking, backend) - _n_tokens(backend, bare)


def prompt_for(asking: Asking, backend: Backend, material: Material, at_most: int | None) -> Prompt:
    """The prompt for a backend, its context of `at_most` tokens, where that is given; raises BudgetTooSmall."""
    room = room_of(asking, backend, material.examples)
    budget = min(limit for limit in (room, asking.context.budget_tokens, at_most) if limit is not None)
    for _ in range(MOST_ATTEMPTS):
        packed, is_whole = _packed(asking, backend, material, budget)
        prompt = _prompt(asking, backend, material, packed, budget, is_whole)
        if room - packed.n_tokens >= NEAR_TOKENS:
            return prompt
        n_over = _n_tokens(backend, prompt.asked.messages) + _answer_tokens(asking, backend) - backend.context_tokens
        if n_over <= 0:
            return prompt
        budget = packed.n_tokens - n_over
    raise _too_small(asking, budget, "the prompt cannot be made short enough")


def _packed(asking: Asking, backend: Backend, material: Material, budget: int) -> tuple[Packed, bool]:
    wish, found = asking.context, material.found
    if backend.name == EXTRACTIVE:
        if wish.budget_tokens is None and (taken := _unpacked(backend, found.passages, wish.most_passages, budget)):
            return taken, False
    elif found.everything is not None:
        block = context_block(found.everything, asking.template)
        (n_tokens,) = backend.counter.count([block])
        if n_tokens <= budget:
            return Packed(tuple(range(len(found.everything))), tuple(found.everything), block, n_tokens, ()), True
    if budget <= 0:
        raise _too_small(asking, budget, "question, template and answer leave no room for passages")
    places = sorted(_best(found.passages, wish.most_passages))
    given: dict[str, Any] = {"redundancy": wish.redundancy, "cost": wish.cost}
    options = PackOptions(
        method=wish.method, order=wish.order, **{name: value for name, value in given.items() if value is not None}
    )
    try:
        packed = pack(
            [found.passages[place] for place in places],
            budget,
            backend.counter,
            options,
            question=asking.question.text,
            template=asking.template,
            weights=material.supported.weights,
            language=material.supported.language,
        )
    except BudgetTooSmall as exc:
        raise _too_small(asking, budget, exc.detail) from exc
    return _among_all(packed, places), False


def _best(passages: FoundPassages, most: int) -> list[int]:
    """The places of the best passages that have a text, best first."""
    best: list[int] = []
    for place in sorted(range(len(passages)), key=passages.scores.__getitem__, reverse=True):  # equal ones by place
        if passages[place].text.strip():
            best.append(place)
            if len(best) == most:
                break
    return best


def _among_all(packed: Packed, places: Sequence[int]) -> Packed:
    """What was packed of the passages at `places`, told by their places among all that were found."""
    left = [Left(places[one.place], one.reason, one.n_tokens) for one in packed.left]
    return replace(packed, chosen=tuple([places[at] for at in packed.chosen]), left=tuple(left))


def _unpacked(backend: Backend, passages: FoundPassages, most: int, budget: int) -> Packed | None:
    """The best passages for a backend that takes sentences out of them, and chooses these by itself; None where they
    do not fit."""
    chosen = _best(passages, most)
    n_tokens = sum(backend.counter.count([passages[place].text for place in chosen]))
    if not chosen or n_tokens > budget:
        return None
    return Packed(tuple(chosen), tuple([passages[place] for place in chosen]), "", n_tokens, ())


def _prompt(
    asking: Asking, backend: Backend, material: Material, packed: Packed, budget: int, is_whole: bool
) -> Prompt:
    question = asking.question
    if backend.name == EXTRACTIVE:  # it reads the passages themselves
        chat = [Message("user", question.text)]
    else:
        history, examples = question.history, material.examples
        chat = messages(asking.template, question.text, packed.passages, history, examples, packed.block)
    asked = Asked(
        question.text,
        packed.passages,
        chat,
        _answer_tokens(asking, backend),
        question.temperature,
        question.top_p,
        question.seed,
        question.stop,
        material.supported.weights,
        material.supported.language,
    )
    context = Context(
        passages=len(packed.passages),
        tokens=packed.n_tokens,
        budget_tokens=budget,
        whole=is_whole,
        exact=backend.counter.is_exact,
        backend=material.found.backend,
    )
    is_told = question.options.explain and not is_whole
    return Prompt(asked, context, _dropped(material.found.passages, packed) if is_told else [])


def _answer_tokens(asking: Asking, backend: Backend) -> int:
    """Tokens that the answer may have. The built-in backend says a few sentences, however many it may."""
    given = asking.question.max_tokens
    if given is None or (backend.name == EXTRACTIVE and given > backend.max_tokens):
        return backend.max_tokens
    return given


def _n_tokens(backend: Backend, prompt: Sequence[Message]) -> int:
    return sum(backend.counter.count([turn.content for turn in prompt])) + backend.message_tokens * (len(prompt) + 1)


def _dropped(passages: Sequence[Passage], packed: Packed) -> list[Dropped]:
    """What was found and is not in the context: those that were packed first, then those that were not."""
    known = {*packed.chosen, *(left.place for left in packed.left)}
    others = [place for place in range(len(passages)) if place not in known]
    left_out = [*packed.left, *(Left(at, "budget" if passages[at].text.strip() else "empty", 0) for at in others)]
    return [
        Dropped(id=passages[left.place].id, owner=passages[left.place].owner, reason=left.reason, tokens=left.n_tokens)
        for left in left_out
    ]


def _too_small(asking: Asking, budget: int, why: str) -> BudgetTooSmall:
    error = BudgetTooSmall.at(asking.at("/context/tokens"), f"{why}; the passages may take {max(0, budget):,}")
    assert isinstance(error, BudgetTooSmall), "at makes an error of its class"
    return error
