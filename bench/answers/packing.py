"""Contexts under a budget: whether what is packed holds the answer, what packing costs, that nothing is over.

The answerable questions of SQuAD 2.0 dev are asked of all its paragraphs by hybrid search, 20 candidates each. Compared
are the candidates as they come, the last one cut to fit, and what is packed, rendered alike, by the tokens of the
built-in backend and by those of a byte-level BPE that is trained here on abstracts, documents and code. The options of
packing were chosen on half of the articles; the figures are of the other half. `--quick` takes made-up chunks.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from msgspec.structs import replace

import vdb
from bench.answers.drawn import cases
from bench.record import ROOT
from bench.report import Figure
from bench.retrieval.texts import made_up, rows, units
from bench.tenants.contender import LeftOut
from vdb.errors import BudgetTooSmall
from vdb.rag.extractive.backend import CharacterCounter
from vdb.rag.generate.base import TokenCounter
from vdb.rag.pack import Packed, PackOptions, pack
from vdb.rag.passage import Passage
from vdb.rag.prompt import DEFAULT_TEMPLATE, context_block

N_CANDIDATES = 20
SPLIT_SEED = 1
"""Of the articles: the same halves for those who choose options and for those who report."""
_BUDGETS = (256, 1_024)
_LEAST_GAIN = {256: 3.0, 1_024: 0.0}
_N_CASES = 10_000
_EVERY = 3
"""Of the questions, by the BPE: it counts slowly."""
_VOCABULARY = 16_000
_NAME = "chunks"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its candidates, best first, and the strings that answer it."""

    text: str
    answers: list[str]
    found: list[Passage]


def measure(given: argparse.Namespace) -> list[Figure]:
    """The figures."""
    figures = _never_over(200 if given.quick else _N_CASES, given.seed)
    asked = _made_up_questions(given.seed) if given.quick else _questions(given.data, given.seed)
    counters: dict[str, TokenCounter] = {"characters": CharacterCounter()}
    if not given.quick:
        counters["BPE"] = _trained(given.data)
    for name, counter in counters.items():
        chosen = asked if name == "characters" else asked[::_EVERY]
        for budget in _BUDGETS:
            figures += _gains(chosen, budget, counter, f"{budget:,} tokens ({name})", given.quick)
            print(f"{name} {budget} is done", flush=True)
    figures += _times(asked[:100])
    return figures + (_escapes(asked, counters["BPE"]) if "BPE" in counters else [])


def chosen_articles(titles: Sequence[str], seed: int = SPLIT_SEED) -> set[str]:
    """The articles that options were chosen on: half of them."""
    order = np.random.default_rng(seed).permutation(len(titles))
    return {sorted(titles)[place] for place in order[: len(titles) // 2]}


def _questions(data: Path | None, seed: int) -> list[Asked]:
    """The answerable questions of the other half, each with what hybrid search finds for it."""
    if data is None or not (data / "squad2").is_dir():
        raise LeftOut("the texts are not there: name their folder with VDB_DATASETS")
    paragraphs = rows(data / "squad2" / "paragraphs.jsonl.gz")
    questions = rows(data / "squad2" / "questions.jsonl.gz")
    vectors = units(data / "squad2" / "question_vectors_f16.npy")
    title_of = {row["pid"]: str(row["title"]) for row in paragraphs}
    hidden = chosen_articles(sorted(set(title_of.values())))
    asked: list[Asked] = []
    with tempfile.TemporaryDirectory(prefix="vdb-bench-") as folder, vdb.open(Path(folder)) as database:
        database.create_collection(_NAME, vectors.shape[1], text={"fields": {"text": 1}})
        chunks = database.collection(_NAME, "squad")
        chunks.upsert(
            [str(row["pid"]) for row in paragraphs],
            units(data / "squad2" / "paragraph_vectors_f16.npy"),
            [{"text": row["text"]} for row in paragraphs],
        )
        for place, row in enumerate(questions):
            if row["is_impossible"] or title_of[row["pid"]] in hidden:
                continue
            hits = chunks.search(vectors[place], text=row["question"], mode="hybrid", limit=N_CANDIDATES)
            found = [
                Passage(hit.id, "squad", 1, str(paragraphs[int(hit.id)]["text"]), cast(float, hit.score))
                for hit in hits
            ]
            asked.append(Asked(row["question"], row["answers"], found))
    return asked


def _made_up_questions(seed: int) -> list[Asked]:
    texts = made_up(seed)
    found = [
        Passage(f"p{at}", "t", 1, f"{text}.", 1.0 / (at + 1)) for at, text in enumerate(texts.chunks[:N_CANDIDATES])
    ]
    return [Asked(text.partition(" ")[0], [text[:20]], found) for text in texts.chunks[:10]]


def _gains(asked: Sequence[Asked], budget: int, counter: TokenCounter, name: str, is_quick: bool) -> Iterator[Figure]:
    """How often the answer stands in the context, of questions in hundredths; and the tokens that it has."""
    plain = [_holds(_concatenated(one, budget, counter), one) for one in asked]
    packed = [_packed(one, budget, counter, PackOptions()) for one in asked]
    held = [_holds(made.passages, one) for made, one in zip(packed, asked, strict=True)]
    whole = [_packed(one, budget, counter, PackOptions(cut=False)) for one in asked]
    gain = 100 * (float(np.mean(held)) - float(np.mean(plain)))
    yield Figure(f"{name}: answer in context, concatenated", 100 * float(np.mean(plain)), "points")
    yield Figure(f"{name}: answer in context, packed", 100 * float(np.mean(held)), "points")
    bar = None if is_quick else _LEAST_GAIN[budget]
    yield Figure(f"{name}: packed over concatenated", gain, "points", bar, at_least=True)
    of_whole = [_holds(made.passages, one) for made, one in zip(whole, asked, strict=True)]
    yield Figure(f"{name}: answer in context, whole passages", 100 * float(np.mean(of_whole)), "points")
    yield Figure(f"{name}: tokens of a packed context", statistics.mean(made.n_tokens for made in packed), "tokens")


def _holds(passages: Sequence[Passage], one: Asked) -> bool:
    return any(answer in passage.text for passage in passages for answer in one.answers)


def _packed(one: Asked, budget: int, counter: TokenCounter, options: PackOptions) -> Packed:
    try:
        return pack(one.found, budget, counter, options, question=one.text)
    except BudgetTooSmall:
        return Packed((), (), "", 0, ())


def _concatenated(one: Asked, budget: int, counter: TokenCounter) -> list[Passage]:
    """The candidates as they come, as many as fit, the next one cut at the last character that does."""
    n = 0
    while n < len(one.found) and _fits(one.found[: n + 1], budget, counter):
        n += 1
    kept = one.found[:n]
    if n == len(one.found):
        return kept
    cut = one.found[n]

    def with_part(length: int) -> list[Passage]:
        return [*kept, replace(cut, text=cut.text[:length])]

    length = _most(len(cut.text), lambda length: length == 0 or _fits(with_part(length), budget, counter))
    return with_part(length) if length else kept


def _fits(passages: Sequence[Passage], budget: int, counter: TokenCounter) -> bool:
    return counter.count([context_block(passages, DEFAULT_TEMPLATE)])[0] <= budget


def _most(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `most` that fits, where all below it do."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _never_over(n_cases: int, seed: int) -> list[Figure]:
    """Random candidates, budgets, options and counters, each packed twice."""
    n_over = n_different = n_refused = 0
    for case in cases(n_cases, seed):
        try:
            first, second = case.packed(), case.packed()
        except BudgetTooSmall:
            n_refused += 1
            continue
        block = context_block(first.passages, case.template)
        n_over += bool(block) and case.counter.count([block])[0] > case.budget_tokens
        n_different += first != second
    return [
        Figure(f"{n_cases:,} random cases: over the budget", n_over, "cases", 0),
        Figure(f"{n_cases:,} random cases: another context the second time", n_different, "cases", 0),
        Figure(f"{n_cases:,} random cases: nothing fits", n_refused, "cases"),
    ]


def _times(asked: Sequence[Asked]) -> Iterator[Figure]:
    """CPU time of packing the candidates whose analyses are known."""
    counter = CharacterCounter()
    for options, budget, bar in (
        (PackOptions(), 256, 0.5),
        (PackOptions(), 1_024, None),
        (PackOptions(), 1 << 20, None),
        (PackOptions(method="beam"), 1_024, 5.0),
    ):
        runs: list[float] = []
        for one in [*asked, *asked]:
            began = time.thread_time()
            _packed(one, budget, counter, options)
            runs.append(1_000 * (time.thread_time() - began))
        name = "all that fits" if budget == 1 << 20 else f"{budget:,} tokens, {options.method}"
        yield Figure(f"packing {N_CANDIDATES} candidates: {name}", statistics.median(runs[len(asked) :]), "ms", bar)


def _escapes(asked: Sequence[Asked], counter: TokenCounter) -> list[Figure]:
    """The tokens that go to escapes, and to what stands around texts, of prose and of Markdown."""
    prose = list({passage.id: passage for one in asked for passage in one.found}.values())
    markdown = [
        Passage(f"{path.name} {at}", "docs", 1, text[at : at + 1_000], 1.0)
        for path in sorted((ROOT / "docs").glob("*.md"))
        for text in [path.read_text(encoding="utf-8")]
        for at in range(0, len(text), 1_000)
    ]
    figures = []
    for name, passages in (("prose", prose), ("Markdown", markdown)):
        bare = sum(counter.count([passage.text for passage in passages]))
        escaped = counter.count([context_block([passage], DEFAULT_TEMPLATE) for passage in passages])
        empty = counter.count([context_block([replace(passage, text="")], DEFAULT_TEMPLATE) for passage in passages])
        share = 100 * (sum(escaped) - sum(empty) - bare) / bare
        figures.append(Figure(f"escapes of {name}: tokens more", share, "%"))
        figures.append(Figure(f"around a text of {name}", sum(empty) / len(passages), "tokens"))
    return figures


class _Bpe:
    """Tokens of a byte-level BPE."""

    is_exact = True

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(one.ids) for one in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def _trained(data: Path) -> TokenCounter:
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    texts = [str(row["abstract"]) for row in rows(data / "arxiv" / "base.jsonl.gz")[:4_000]]
    texts += [path.read_text(encoding="utf-8") for path in sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("vdb/**/*.py")])]
    tokenizer.train_from_iterator(texts, _VOCABULARY, show_progress=False)
    return _Bpe(tokenizer)
