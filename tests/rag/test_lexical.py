"""The built-in embedder: what makes texts alike, and that its vectors are the same everywhere and for ever."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import vdb.kernels as kernels
from vdb.errors import ModelMismatch
from vdb.rag.embed.function_words import FUNCTION_WORDS
from vdb.rag.embed.lexical import Lexical

LEXICAL = Lexical()
TEXTS = (
    "How do I cancel my subscription?",
    "Wie kündige ich mein Abonnement? Straße, ﬁne, ＡＢＣ",
    "日本語のテキストを検索する 東京",
    "x" * 200 + " " + "y" * 64,
    "snake_case and 3.14159",
)


def alike(one: str, other: str, dimension: int = 384) -> float:
    rows = LEXICAL.embed_documents([one, other], dimension)
    return float(rows[0] @ rows[1])


def sum_of(rows: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.rint(rows.astype(np.float64) * 1e6).astype("<i8").tobytes()).hexdigest()[:16]


def test_vectors_of_version_1_never_change() -> None:
    """Vectors that were stored are compared with those of later releases: another sum here is another version."""
    assert (LEXICAL.name, LEXICAL.version) == ("lexical", "1")
    assert sum_of(LEXICAL.embed_documents(TEXTS, 384)) == "347b24222a214386"
    assert sum_of(LEXICAL.embed_queries(TEXTS, 32)) == "942c16c786cdfa3e"


@given(st.lists(st.text(max_size=300), max_size=5), st.sampled_from([32, 100, 1024]))
def test_any_text_has_a_unit_vector_or_none(texts: list[str], dimension: int) -> None:
    rows = LEXICAL.embed_documents(texts, dimension)
    assert rows.shape == (len(texts), dimension) and rows.dtype == np.float32
    norms = np.linalg.norm(rows, axis=1)
    assert np.all((norms == 0) | (np.abs(norms - 1) < 1e-5))


@pytest.mark.parametrize("text", ["", "   ", "?!…", "___"])
def test_a_text_without_letters_or_digits_has_a_vector_of_zeros(text: str) -> None:
    assert not LEXICAL.embed_queries([text], 64).any()


def test_no_texts_are_no_rows() -> None:
    assert LEXICAL.embed_documents([], 64).shape == (0, 64)


def test_compiled_kernels_and_twins_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for found in (kernels.reference_kernels(), kernels.cpu_kernels()):
        monkeypatch.setattr(kernels, "current", lambda found=found: found)
        rows.append(LEXICAL.embed_documents(TEXTS, 384).tobytes())
    assert rows[0] == rows[1]


def test_case_and_compatibility_forms_and_order_make_no_difference() -> None:
    assert alike("Straße FINE ABC", "ＡＢＣ strasse ﬁne") == pytest.approx(1.0, abs=1e-6)


def test_forms_and_misspellings_of_a_word_are_nearer_than_another_word() -> None:
    for form in ("cancellation", "cancelled", "cancle"):
        assert alike("cancel", form) > 0.15 + alike("cancel", "weather")


def test_function_words_count_little() -> None:
    assert alike("how do I cancel a subscription", "cancel subscription") > 0.9
    assert alike("what is the weather in there", "what is the price in there") < 0.5
    assert not FUNCTION_WORDS & {"die", "war", "come", "son", "door", "ai", "mit", "hat"}


def test_runs_of_han_and_kana_are_alike_by_their_pairs() -> None:
    assert alike("東京都の天気", "今日の東京都") > 0.2 + alike("東京都の天気", "量子力学入門")


def test_what_is_repeated_counts_more_but_not_as_often_as_it_stands() -> None:
    once, often = alike("apple pear", "apple"), alike("apple apple apple pear", "apple")
    assert once < often < 0.98


@pytest.mark.parametrize("dimension", [0, 1, 31, 65_537])
def test_other_dimensions_are_refused(dimension: int) -> None:
    with pytest.raises(ModelMismatch, match="32 to 65536"):
        LEXICAL.embed_queries(["text"], dimension)
