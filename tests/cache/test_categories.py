"""The category of a question that names none."""

import numpy as np

from vdb.cache.categories import Centroids


def _unit(*components: float) -> np.ndarray:
    vector = np.array(components, np.float32)
    return vector / np.linalg.norm(vector)


def _two() -> Centroids:
    centroids = Centroids(3)
    for shift in (-0.1, 0.0, 0.1):
        centroids.add("travel", _unit(1.0, shift, 0.0))
        centroids.add("work", _unit(0.0, 1.0, shift))
    return centroids


def test_a_question_is_of_the_nearest_category() -> None:
    assert _two().classify(_unit(0.9, 0.2, 0.1)) == "travel"
    assert _two().classify(_unit(0.2, 0.9, 0.1)) == "work"


def test_between_two_categories_it_is_of_none() -> None:
    assert _two().classify(_unit(1.0, 1.0, 0.0)) is None


def test_far_from_all_it_is_of_none() -> None:
    assert _two().classify(_unit(0.0, 0.0, 1.0)) is None
    assert _two().classify(_unit(-1.0, -1.0, 0.0)) is None


def test_nothing_is_known_before_there_are_entries() -> None:
    assert Centroids(3).classify(_unit(1.0, 0.0, 0.0)) is None


def test_one_category_alone_has_to_be_near_too() -> None:
    centroids = Centroids(3)
    centroids.add("travel", _unit(1.0, 0.0, 0.0))
    assert centroids.classify(_unit(1.0, 1.0, 0.0)) == "travel"
    assert centroids.classify(_unit(0.01, 1.0, 0.0)) is None


def test_a_vector_that_left_counts_no_more() -> None:
    centroids = _two()
    centroids.add("travel", _unit(0.0, 0.0, 1.0))
    centroids.remove("travel", _unit(0.0, 0.0, 1.0))
    assert centroids.classify(_unit(0.0, 0.0, 1.0)) is None
    for shift in (-0.1, 0.0, 0.1):
        centroids.remove("travel", _unit(1.0, shift, 0.0))
    assert centroids.classify(_unit(1.0, 0.0, 0.0)) is None
    centroids.add("travel", _unit(1.0, 0.0, 0.0))
    assert centroids.classify(_unit(1.0, 0.0, 0.0)) == "travel"
