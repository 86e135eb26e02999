"""The cache in front of the catalog keeps nothing that a commit has replaced."""

from vdb.tenancy.readthrough import ReadThrough


def test_a_value_is_loaded_once_and_again_after_it_was_forgotten() -> None:
    loads: list[str] = []
    cache: ReadThrough[str, str] = ReadThrough(lambda key: loads.append(key) or key.upper())  # type: ignore[func-returns-value]
    assert [cache.get("a"), cache.get("a")] == ["A", "A"]
    cache.forget("a")
    assert (cache.get("a"), loads) == ("A", ["a", "a"])


def test_what_does_not_exist_is_asked_for_each_time() -> None:
    answers: list[int | None] = [None, 7]
    cache: ReadThrough[str, int] = ReadThrough(lambda _: answers.pop(0))
    assert [cache.get("a"), cache.get("a")] == [None, 7]


def test_a_load_that_began_before_a_commit_is_not_kept() -> None:
    stored = {"a": 1}

    def load(key: str) -> int:
        value = stored[key]
        if value == 1:
            stored[key] = 2
            cache.forget(key)
        return value

    cache: ReadThrough[str, int] = ReadThrough(load)
    assert [cache.get("a"), cache.get("a")] == [1, 2]


def test_the_cache_is_bounded() -> None:
    cache: ReadThrough[int, int] = ReadThrough(lambda key: key, capacity=3)
    assert [cache.get(i) for i in range(10)] == list(range(10))
    assert len(cache._values) <= 3
