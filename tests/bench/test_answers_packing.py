"""The part `packing` of the benchmark of answers: its figures on little, and what it compares with."""

from argparse import Namespace

from bench.answers.drawn import cases
from bench.answers.packing import Asked, _concatenated, chosen_articles, measure
from vdb.rag.extractive.backend import CharacterCounter
from vdb.rag.passage import Passage
from vdb.rag.prompt import DEFAULT_TEMPLATE, context_block


def test_little_is_never_over_and_never_different() -> None:
    figures = {figure.name: figure for figure in measure(Namespace(quick=True, seed=1, data=None))}
    assert figures["200 random cases: over the budget"].passes
    assert figures["200 random cases: another context the second time"].passes


def test_cases_are_the_same_for_a_seed() -> None:
    assert [case.passages for case in cases(5, 3)] == [case.passages for case in cases(5, 3)]
    assert [case.passages for case in cases(5, 3)] != [case.passages for case in cases(5, 4)]


def test_what_is_compared_with_fills_the_budget_with_the_candidates_as_they_come() -> None:
    found = [Passage(f"p{at}", "t", 1, f"{at} is a text of some words.", 1.0) for at in range(9)]
    kept = _concatenated(Asked("?", [], found), 40, CharacterCounter())
    (n_tokens,) = CharacterCounter().count([context_block(kept, DEFAULT_TEMPLATE)])
    assert 37 <= n_tokens <= 40
    assert all(one.text.startswith(part.text) for one, part in zip(found, kept, strict=False))
    assert kept[:-1] == found[: len(kept) - 1]


def test_half_of_the_articles_choose() -> None:
    titles = [f"t{at}" for at in range(16)]
    assert len(chosen_articles(titles)) == 8
    assert chosen_articles(titles) == chosen_articles(list(reversed(titles)))
