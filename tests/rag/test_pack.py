"""Packing: never over the budget, the same answer for the same candidates, and a reason for what is left out."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vdb.errors import BudgetTooSmall
from vdb.rag.pack import Packed, PackOptions, pack
from vdb.rag.passage import Passage
from vdb.rag.prompt import DEFAULT_TEMPLATE, context_block

_TOKEN = re.compile(r"\w{1,4}|[^\w\s]")


class Words:
    """Counts pieces of words and marks; `joins` more tokens for each line of a text but the first."""

    is_exact = True

    def __init__(self, joins: int = 0) -> None:
        self._joins = joins

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(_TOKEN.findall(text)) + self._joins * text.count("\n") for text in texts]


def passage(place: int, text: str, score: float = 1.0, document: str = "", chunk: int | None = None) -> Passage:
    return Passage(f"p{place}", "acme", 1, text, score, "", (), document, chunk)


words = st.sampled_from(
    ["", " ", "Normandy", "a", "was", "given.", "In 911", "[1]", '"Rollo"', "Treaty. The", "\n", "é"]
)
passages = st.lists(
    st.builds(
        passage,
        st.integers(0, 99),
        st.lists(words, max_size=30).map(" ".join),
        st.sampled_from([0.0, 0.5, 0.5, 1.0, -3.0, 1e300]),
        st.sampled_from(["", "d", "e"]),
        st.none() | st.integers(0, 5),
    ),
    max_size=12,
)
options = st.builds(
    PackOptions,
    st.sampled_from(["greedy", "beam"]),
    st.sampled_from([0.0, 0.3, 2.0]),
    st.sampled_from([0.0, 0.2, 5.0]),
    st.sampled_from(["score", "document", "edges", "prefix"]),
)


def packed(found: list[Passage], budget: int, chosen: PackOptions, joins: int = 0) -> Packed | None:
    try:
        return pack(found, budget, Words(joins), chosen, question="Who gave Normandy?")
    except BudgetTooSmall:
        return None


@given(passages, st.integers(-1, 200), options, st.integers(0, 3))
def test_never_over_the_budget_and_every_passage_is_somewhere(
    found: list[Passage], budget: int, chosen: PackOptions, joins: int
) -> None:
    made = packed(found, budget, chosen, joins)
    if made is None:
        return
    counted = Words(joins).count([context_block(made.passages, DEFAULT_TEMPLATE)])[0]
    assert made.n_tokens == counted <= budget
    assert sorted([*made.chosen, *(one.place for one in made.left)]) == list(range(len(found)))
    assert len(made.passages) == len(made.chosen)
    for place, part in zip(made.chosen, made.passages, strict=True):
        assert part.text.strip() and part.text in found[place].text
        assert replace(part, text="", start=None, end=None) == replace(found[place], text="")


@given(passages, st.integers(1, 200), options)
def test_the_same_candidates_give_the_same_context(found: list[Passage], budget: int, chosen: PackOptions) -> None:
    assert packed(found, budget, chosen) == packed([replace(one) for one in found], budget, chosen)


def test_empty_and_repeated_passages_are_left_out_with_their_reason() -> None:
    found = [passage(0, "Rollo was a Viking."), passage(1, " \n"), passage(2, "Rollo was a Viking.")]
    made = pack(found, 100, Words(), PackOptions())
    assert made.chosen == (0,)
    assert [(one.place, one.reason) for one in made.left] == [(1, "empty"), (2, "duplicate")]


def test_a_budget_below_every_passage_is_refused() -> None:
    with pytest.raises(BudgetTooSmall):
        pack([passage(0, "Rollo was a Viking.")], 3, Words(), PackOptions())


def test_nothing_to_pack_is_an_empty_context() -> None:
    assert pack([], 10, Words(), PackOptions()) == Packed((), (), "", 0, ())
    assert pack([passage(0, " ")], 10, Words(), PackOptions()).chosen == ()


def test_orders() -> None:
    found = [
        passage(0, "Alpha one.", 5.0, "b", 1),
        passage(1, "Bravo two.", 4.0, "a", 7),
        passage(2, "Charlie three.", 3.0, "b", 0),
        passage(3, "Delta four.", 2.0, "a", 2),
        passage(4, "Echo five.", 1.0),
    ]
    by = {order: pack(found, 500, Words(), PackOptions(order=order)).chosen for order in
          ("score", "document", "edges", "prefix")}  # fmt: skip
    assert by["score"] == (0, 1, 2, 3, 4)
    assert by["document"] == (2, 0, 3, 1, 4)
    assert by["edges"] == (0, 2, 4, 3, 1)
    assert by["prefix"] == (4, 3, 1, 2, 0)


def test_the_prefix_order_does_not_depend_on_scores(rng: np.random.Generator) -> None:
    found = [passage(place, f"Text number {place}.", float(place), f"d{place % 3}", place) for place in range(8)]
    other = [replace(one, score=float(rng.random())) for one in found]
    options = PackOptions(order="prefix", redundancy=0.0)
    assert pack(found, 500, Words(), options).passages == tuple(
        replace(one, score=found[int(one.id[1:])].score) for one in pack(other, 500, Words(), options).passages
    )
