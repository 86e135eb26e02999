"""Answer groups: what a label says of a new entry and its candidate."""

from vdb.cache.groups import NONE, Membership, place


def test_an_entry_without_a_candidate_is_alone() -> None:
    assert place(7, None, None) == Membership(7, NONE)


def test_an_entry_whose_answers_were_not_compared_is_alone() -> None:
    assert place(7, Membership(3), None) == Membership(7, NONE)


def test_a_right_answer_joins_the_candidates_group_with_all_that_is_known_of_it() -> None:
    assert place(7, Membership(3, 2), is_right=True) == Membership(3, 2)


def test_a_wrong_answer_founds_a_group_that_differs_from_the_candidates() -> None:
    assert place(7, Membership(3, 2), is_right=False) == Membership(7, 3)
