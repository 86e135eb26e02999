"""A semantic cache for models of LangChain: `BaseCache` over a `vdb.client.Cache`. Needs the extra `langchain`.

Answers are stored as LangChain serialises generations, and read with its own loader, which may make generations and
messages of its core and nothing else: what it does not know is a miss.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk
from numpy.typing import ArrayLike

from vdb.client import Cache
from vdb.errors import TooLarge, VdbError
from vdb.integrations.langchain_prompts import Prompt, prompt_of
from vdb.protocol.cache_answers import LookupAnswer

__all__ = ["VdbCache"]

_KEPT_LOOKUPS = 1_024
_GENERATIONS = "langchain_generations"
_ALLOWED = (AIMessage, AIMessageChunk, ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk)
_PAGE = 1_000

logger = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Missed:
    """A look-up that waits for its answer."""

    lookup_id: str
    candidate: str | None


class VdbCache(BaseCache):
    """LangChain's cache in vdb. As safe to share between threads as the client; nothing to close.

    `embed` makes the vector of a question, None: equal questions only. `is_same` says whether the candidate's answer
    would have done instead of a fresh one, given both as texts: that is where a learned bar has its labels from;
    without it give the category a fixed `threshold`, or a judge. `fails_open`: a cache that cannot be asked is a miss.

    Equal have to be the model and its parameters, system messages, earlier turns, `category` and `scope`. Questions
    with earlier turns are looked up only where the policy says `turns: equal`. `wait_ms`: how long to wait for whoever
    is answering the same question; 0 takes no lease.
    """

    def __init__(
        self,
        cache: Cache,
        embed: Callable[[str], ArrayLike] | None = None,
        *,
        category: str | None = None,
        scope: str = "",
        is_same: Callable[[str, str], bool] | None = None,
        wait_ms: int = 0,
        fails_open: bool = True,
    ) -> None:
        self._cache, self._embed, self._is_same = cache, embed, is_same
        self._category, self._scope, self._wait_ms, self._fails_open = category, scope, wait_ms, fails_open
        self._missed: OrderedDict[tuple[str, str], _Missed] = OrderedDict()
        self._lock = threading.Lock()

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The generations of an eligible answer, None for a miss."""
        asked = prompt_of(prompt, llm_string)
        try:
            found = self._look_up(asked)
        except VdbError as exc:
            self._note(exc, "asked")
            return None
        entry = found.entry
        made = None if found.hit is None or entry is None else _generations(entry.answer)
        if made is None:
            candidate = found.candidate
            text = None if candidate is None or self._is_same is None else _text_of(_generations(candidate.answer))
            self._remember((prompt, llm_string), _Missed(found.lookup_id, text))
        return made

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Store the generations that a model has made."""
        with self._lock:
            missed = self._missed.pop((prompt, llm_string), None)
        answer = {_GENERATIONS: [dumpd(generation) for generation in return_val]}
        try:
            if missed is not None:
                self._cache.store(missed.lookup_id, answer, verdict=self._verdict(missed, return_val))
            else:
                self._store(prompt_of(prompt, llm_string), answer)
        except VdbError as exc:
            self._note(exc, "told")

    def clear(self, **kwargs: Any) -> None:
        """Remove the tenant's entries, of the category if one was given."""
        with self._lock:
            self._missed.clear()
        ids = [entry.id for entry in self._cache.entries(self._category, page_size=_PAGE)]
        for first in range(0, len(ids), _PAGE):
            self._cache.invalidate(ids[first : first + _PAGE])

    def _look_up(self, asked: Prompt) -> LookupAnswer:
        return self._cache.lookup(
            asked.text,
            self._vector(asked),
            category=self._category,
            scope=self._scope,
            fingerprint=asked.fingerprint,
            turns=asked.turns,
            lease=self._wait_ms > 0,
            wait_ms=self._wait_ms,
            with_candidate=self._is_same is not None,
        )

    def _store(self, asked: Prompt, answer: Any) -> None:
        """Store an answer whose look-up is forgotten, or was never made."""
        self._cache.store(
            None,
            answer,
            text=asked.text,
            vector=self._vector(asked),
            category=self._category,
            scope=self._scope,
            fingerprint=asked.fingerprint,
            turns=asked.turns,
        )

    def _vector(self, asked: Prompt) -> ArrayLike | None:
        return self._embed(asked.text) if self._embed is not None and asked.is_text else None

    def _verdict(self, missed: _Missed, made: Sequence[Generation]) -> Any:
        if self._is_same is None or missed.candidate is None:
            return None
        return "right" if self._is_same(missed.candidate, _text_of(made) or "") else "wrong"

    def _remember(self, key: tuple[str, str], missed: _Missed) -> None:
        with self._lock:
            self._missed[key] = missed
            self._missed.move_to_end(key)
            if len(self._missed) > _KEPT_LOOKUPS:
                self._missed.popitem(last=False)

    def _note(self, exc: VdbError, what: str) -> None:
        """Go on without the cache, unless the error is to be seen. What is too large is never cached."""
        if not self._fails_open and not isinstance(exc, TooLarge):
            raise exc
        logger.warning("the cache was not %s: %s", what, exc.code)


def _generations(answer: Any) -> list[Generation] | None:
    """The generations of a stored answer; None for one that is not ours, or that the loader does not know."""
    stored = answer.get(_GENERATIONS) if isinstance(answer, dict) else None
    if not isinstance(stored, list):
        return None
    try:
        made = load(stored, allowed_objects=_ALLOWED, secrets_from_env=False)
    except Exception as exc:  # whatever a stored answer makes it do
        logger.warning("a cached answer could not be read: %s", type(exc).__name__)
        return None
    is_whole = isinstance(made, list) and made and all(isinstance(one, Generation) for one in made)
    return made if is_whole else None


def _text_of(made: Sequence[Generation] | None) -> str | None:
    return None if not made else made[0].text
