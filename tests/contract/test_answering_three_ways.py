"""What a collection says of its answers, in every way to reach an engine."""

from typing import Any

import pytest

from tests.contract.ways import World
from vdb.errors import VdbError

_NOTHING = dict.fromkeys(
    ("backend", "template", "cache", "category", "context_tokens", "limit", "threshold", "order")
)  # null each


def test_answering_is_set_shown_and_cleared(world: World) -> None:
    admin, name, cache = world.admin, world.name("docs"), world.name("replies")
    assert world.plain(admin.create_collection(name, 3))["answering"] is None
    admin.create_cache(cache, 3)
    given = {"backend": "extractive", "cache": cache, "category": "faq", "context_tokens": 900}
    given |= {"limit": 20, "threshold": 0.25, "order": "prefix"}
    changed = world.plain(admin.update_collection(name, answering=given))
    assert changed["answering"] == _NOTHING | given | {"cache": "replies"}
    assert world.plain(admin.get_collection(name)) == changed
    again = world.plain(admin.update_collection(name, answering={"limit": 5}))
    assert again["answering"] == _NOTHING | {"limit": 5}  # whole
    assert world.plain(admin.update_collection(name, metadata={"a": "b"}))["answering"] == _NOTHING | {"limit": 5}
    assert world.plain(admin.update_collection(name, answering=None))["answering"] is None
    admin.delete_cache(cache)


def test_a_collection_is_made_with_its_answering(world: World) -> None:
    name = world.name("docs")
    made = world.plain(world.admin.create_collection(name, 3, answering={"threshold": 0.5}))
    assert made["answering"] == _NOTHING | {"threshold": 0.5}
    assert world.plain(world.tenant("acme").get_collection(name))["answering"]["threshold"] == 0.5


_BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"backend": "No Such"}, "invalid_argument", "/answering/backend"),
    ({"backend": "no-such-thing"}, "invalid_argument", "/answering/backend"),
    ({"template": "a@b"}, "invalid_argument", "/answering/template"),
    ({"template": "../a"}, "invalid_argument", "/answering/template"),
    ({"cache": "no-such-thing"}, "invalid_argument", "/answering/cache"),
    ({"cache": "../x"}, "invalid_argument", "/answering/cache"),
    ({"category": "A"}, "invalid_argument", "/answering/category"),
    ({"context_tokens": 0}, "invalid_argument", "/answering/context_tokens"),
    ({"context_tokens": 1 << 31}, "invalid_argument", "/answering/context_tokens"),
    ({"limit": 0}, "invalid_argument", "/answering/limit"),
    ({"limit": 100_000_000}, "invalid_argument", "/answering/limit"),
    ({"threshold": 1.5}, "invalid_argument", "/answering/threshold"),
    ({"order": "random"}, "invalid_argument", "/answering/order"),
    ({"model": "x"}, "unknown_field", "/answering/model"),
]


@pytest.mark.parametrize(("given", "code", "pointer"), _BAD)
def test_a_bad_answering_is_refused_and_changes_nothing(
    world: World, given: dict[str, Any], code: str, pointer: str
) -> None:
    name = world.name("docs")
    before = world.plain(world.admin.create_collection(name, 3, answering={"limit": 7}))
    for ask, arguments in (
        (world.admin.update_collection, (name,)),
        (world.admin.create_collection, (world.name("other"), 3)),
    ):
        with pytest.raises(VdbError) as caught:
            ask(*arguments, answering=given)
        assert (caught.value.code, [problem.pointer for problem in caught.value.problems]) == (code, [pointer])
    assert world.plain(world.admin.get_collection(name)) == before
    assert world.code(world.admin.get_collection, world.name("other")) == "collection_not_found"


def test_whoever_may_not_administer_may_not_change_it(world: World) -> None:
    name = world.name("docs")
    world.admin.create_collection(name, 3)
    assert world.code(world.tenant("acme").update_collection, name, answering={"limit": 5}) == "forbidden"


def test_the_threshold_is_calibrated_and_kept(world: World) -> None:
    name = world.name("docs")
    world.admin.create_collection(name, 3, text={"fields": {"text": 1}})
    world.points("docs", "acme").upsert(["a"], [[1.0, 0.0, 0.0]], [{"text": "Refunds take five days."}])
    admin = world.admin.collection(name, tenant=world.name("acme"))
    questions = [{"text": "How long do refunds take?", "answerable": True, "vector": [1.0, 0.0, 0.0]}] * 45
    questions += [{"text": "Who painted it?", "answerable": False}] * 5
    told = world.plain(admin.calibrate_answers(questions, dry_run=True))
    assert told["kept"] is False and (told["n_answerable"], told["n_unanswerable"]) == (45, 5)
    assert (told["lost"], told["refused"], told["needed"]) == (0.0, 1.0, 45)
    found = world.plain(admin.calibrate_answers(questions, max_lost=0.05))
    assert found == told | {"kept": True}
    assert world.plain(world.admin.get_collection(name))["answering"]["threshold"] == found["threshold"]
    few = world.plain(admin.calibrate_answers(questions[:3]))
    assert few["kept"] is False and few["threshold"] == found["threshold"]
    assert world.code(admin.calibrate_answers, []) == "empty_batch"
    assert world.code(admin.calibrate_answers, questions, max_lost=0) == "invalid_argument"
    assert world.code(world.points("docs", "acme").calibrate_answers, questions) == "forbidden"
