"""Support: questions of the passages' subject have it, others have not; what is missing is done without."""

from math import nan
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.rag.analysis import analyser_of
from vdb.rag.extractive import DEFAULT_THRESHOLD, similarities_of, support
from vdb.rag.extractive.analysed import Analysed
from vdb.rag.extractive.features import most_of, rows_of
from vdb.rag.extractive.question import context_of, read
from vdb.rag.passage import Passage
from vdb.types import Metric

SUBJECT = (
    "The Rhine begins in the Alps and ends in the North Sea.",
    "The Danube flows through ten countries, more than any other river.",
    "The Volga is the longest river of Europe.",
    "Barges carry coal and grain on the Rhine.",
)
OWN = ("Where does the Rhine begin?", "How many countries does the Danube flow through?", "longest river of Europe")
OTHER = ("Who painted the ceiling of the chapel?", "What does an enzyme do in a cell?", "price of gold in 1980")


def passages(*given: str) -> list[Passage]:
    return [Passage(f"p{i}", "acme", 1, text, -float(i)) for i, text in enumerate(given)]


@pytest.mark.parametrize("question", OWN)
def test_a_question_of_the_subject_has_support(question: str) -> None:
    assert support(question, passages(*SUBJECT)) >= DEFAULT_THRESHOLD


@pytest.mark.parametrize("question", OTHER)
def test_a_question_of_another_subject_has_none(question: str) -> None:
    assert support(question, passages(*SUBJECT)) < DEFAULT_THRESHOLD


def test_a_nearest_passage_that_stands_out_is_support() -> None:
    given = passages(*SUBJECT)
    apart = support(OWN[0], given, similarities=[0.8, 0.2, 0.1, 0.1])
    alike = support(OWN[0], given, similarities=[0.2, 0.2, 0.2, 0.2])
    assert apart > alike


def test_similarities_of_too_few_points_tell_nothing() -> None:
    given = passages(*SUBJECT)
    assert support(OWN[0], given, similarities=[0.9, None, None, 0.1]) == support(OWN[0], given)


def test_a_word_that_no_point_has_counts_as_the_rarest() -> None:
    given = passages(*SUBJECT)
    assert support("Rhine", given, weights={"rhine": 3.0}) > support("Rhine zebra", given, weights={"rhine": 3.0})


def test_without_passages_there_is_no_support() -> None:
    assert support("Rhine", []) == 0.0
    assert support("Rhine", passages("", " ")) < DEFAULT_THRESHOLD


def test_words_are_looked_for_in_all_passages_where_no_score_tells_them_apart() -> None:
    given = [Passage(str(i), "acme", 1, text, 0.0) for i, text in enumerate(["Nothing."] * 30 + list(SUBJECT))]
    assert support(OWN[0], given) >= DEFAULT_THRESHOLD


def test_a_long_question_need_not_be_repeated_whole() -> None:
    long = f"{OWN[0]} I would like to hear more of barges, coal, grain, locks, ports, tolls, bridges and ferries."
    assert support(long, passages(*SUBJECT)) > 0.2


def test_distances_tell_how_alike_vectors_are_by_the_cosine_only() -> None:
    assert similarities_of(Metric.COSINE, [0.25, None]) == [0.75, None]
    assert similarities_of(Metric.L2, [0.25]) is None and similarities_of(Metric.IP, [-0.25]) is None


@given(
    st.text(max_size=60),
    st.lists(st.text(max_size=60), max_size=8),
    st.floats(-1, 1),
    st.sampled_from(["english", "none", "thai", "german"]),
)
def test_support_is_between_0_and_1(question: str, given: list[str], most: float, language: str) -> None:
    language = language if language != "thai" else "none"
    similarities: list[float | None] = [most - i / 10 for i in range(len(given))]
    found = support(question, passages(*given), similarities=similarities, language=language)
    assert 0.0 <= found <= 1.0 and found is not nan


WORDS = st.lists(st.sampled_from(["rhine", "alps", "sea", "new", "river", "the", "."]), max_size=40).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5), WORDS)
def test_the_most_of_a_sentence_is_that_of_the_rows_of_all_features(
    texts: list[tuple[str, str]], question: str
) -> None:
    analyser = analyser_of("english")
    found = [Passage(f"p{i}", "acme", 1, text, -float(i), title) for i, (text, title) in enumerate(texts)]
    analysed = [Analysed(one.text, analyser) for one in found]
    contexts = [context_of(one, analyser) for one in found]
    asked = read(question, analyser, {"rhine": 3.0, "new": 1.25})
    rows = rows_of(asked, analysed, contexts, [one.score for one in found])
    share, pairs = rows.features[:, (0, 2)].max(axis=0, initial=0.0).tolist()
    assert most_of(asked, analysed, contexts) == pytest.approx((share, max(rows.wholes), pairs), rel=1e-12)


def test_passages_whose_scores_are_known_are_looked_at_only_where_they_are_among_the_best() -> None:
    class Watched(list[Passage]):
        asked: ClassVar[set[int]] = set()

        def __getitem__(self, place: Any) -> Any:
            self.asked.add(place)
            return super().__getitem__(place)

    found = Watched(passages(*SUBJECT, *["Nothing."] * 30))
    weights = {"rhine": 3.0, "begin": 2.0}
    known = support(OWN[0], found, scores=[one.score for one in found], weights=weights)
    assert found.asked == set(range(10))
    assert known == support(OWN[0], list(found), weights=weights)
