"""Which backend is asked: by name, category, load; never one that nobody chose."""

from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.rag.generate.base import Asked, Backend, Generated, TokenCounter, Usage
from vdb.rag.generate.routing import route
from vdb.rag.generate.tokens import ByteBound


@dataclass
class Named:
    name: str
    load: float = 0.0
    categories: frozenset[str] = frozenset()
    model: str = "m"
    context_tokens: int = 1000
    max_tokens: int = 100
    message_tokens: int = 0
    counter: TokenCounter = field(default_factory=ByteBound)

    def generate(self, asked: Asked, emit: object, stop: object) -> Generated:
        return Generated(self.name, "stop", Usage(0, 0, True), self.model)

    def close(self) -> None:
        self.load = inf


def backends(**loads: float) -> list[Backend]:
    return [Named(name, load, frozenset(("law", "code") if name in "ab" else ())) for name, load in loads.items()]


LOADED = backends(a=0.5, b=0.25, c=0.0, extractive=0.0, d=0.75)


@pytest.mark.parametrize(
    ("wanted", "default", "category", "names"),
    [
        ("c", "a", "law", "c"),
        ("extractive", None, None, "extractive"),
        ("nobody", "a", "law", ""),
        (None, None, "law", "b a"),
        (None, "d", "law", "b a d"),
        (None, "a", "law", "b a"),
        (None, "d", "poetry", "d"),
        (None, "d", None, "d"),
        (None, "nobody", None, ""),
        (None, "nobody", "law", "b a"),
        (None, None, "poetry", "c b a d extractive"),
        (None, None, None, "c b a d extractive"),
        (None, "extractive", None, "extractive"),
    ],
)
def test_backends_are_tried_in_order(wanted: str | None, default: str | None, category: str | None, names: str) -> None:
    assert [each.name for each in route(LOADED, wanted, default, category)] == names.split()


def test_those_that_failed_come_last() -> None:
    found = backends(a=inf, b=3.0, c=inf, d=0.0, extractive=0.0)
    assert [each.name for each in route(found, None, None, None)] == ["d", "b", "extractive", "a", "c"]
    assert [each.name for each in route(found, None, "d", "law")] == ["b", "d", "a"]
    assert [each.name for each in route(found, "a", None, None)] == ["a"]


@given(st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from([0.0, 0.5, 2.0, inf])), st.randoms())
def test_the_order_does_not_depend_on_that_of_the_backends(loads: dict[str, float], random: object) -> None:
    found = backends(**loads)
    for category in (None, "law"):
        for default in (None, "a", "g"):
            names = [each.name for each in route(found, None, default, category)]
            assert names == [each.name for each in route(found[::-1], None, default, category)]
            assert len(set(names)) == len(names)
