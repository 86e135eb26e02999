"""Passages of hits: each is read when it is asked for, and once."""

from typing import Any

import msgspec
import pytest

from tests.engine.answering.world import World
from vdb.engine.answering.passages import FoundPassages, PassageReader
from vdb.protocol.answers import Hit


def hits(*texts: str) -> list[Hit]:
    return [
        Hit(
            id=f"p{i}",
            owner="acme",
            version=1,
            score=1.0 - i / 10,
            payload=msgspec.Raw(msgspec.json.encode({"text": text})),
        )
        for i, text in enumerate(texts)
    ]


def test_a_passage_is_read_when_it_is_asked_for_and_once(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    own = PassageReader.read

    def watched(self: PassageReader, point_id: str, *given: Any) -> Any:
        read.append(point_id)
        return own(self, point_id, *given)

    monkeypatch.setattr(PassageReader, "read", watched)
    found = FoundPassages(made.services.catalog.collection("notes"), hits("a", "b", "c"))
    assert len(found) == 3 and found.scores == [1.0, 0.9, 0.8] and read == []
    assert found[1].text == "b" and found[1] is found[1] and read == ["p1"]
    assert [one.text for one in found[1:]] == ["b", "c"] and [one.score for one in found] == found.scores
    assert sorted(read) == ["p0", "p1", "p2"]
    assert found[-1].text == "c"
