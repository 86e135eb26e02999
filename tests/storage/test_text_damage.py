"""`vdb check` holds the text index to the records, and `--repair` builds it anew."""

from pathlib import Path

import pytest

from tests.storage.damage import SHAPES, Damage, changing, drop, entries, files, flip, golden_copy, hurt, put
from tests.storage.test_check import redraft, rewrite
from vdb.rag.analysis import analyser_of
from vdb.storage.check import check_directory
from vdb.storage.codec import encode_u64
from vdb.storage.keyspace import EVERYONE_ID, TEXT_INDEX_KEY, postings_prefix, record_key, text_statistics_key
from vdb.storage.repair import repair
from vdb.storage.text_index import TextIndex, encode_statistics
from vdb.storage.text_postings import LAST_BLOCK, term_hash
from vdb.types import IndexState

TRIANGLE = record_key(1, 0)


def block(audience: int, term: str, upper: bytes = LAST_BLOCK) -> bytes:
    return postings_prefix(audience, term_hash(analyser_of("english").terms(term)[0])) + upper


OF_ACME, OF_ALL = block(1, "triangle"), block(EVERYONE_ID, "pentagon")
OTHER = "the text index of audience 1 has other postings than its points"

DAMAGE: list[tuple[str, Damage, str]] = [
    ("a block missing", drop(OF_ACME), OTHER),
    ("a frequency", flip(OF_ACME, 1), OTHER),
    ("a frequency of none", flip(OF_ACME, 0), "is not a block of postings"),
    ("a length", flip(OF_ACME, 3), OTHER),
    ("a pid", flip(OF_ACME, 5), OTHER),
    ("a block cut short", put(OF_ACME, b"\1\0\1"), "is not a block of postings"),
    ("an empty block", put(OF_ACME, b""), "is not a block of postings"),
    ("a block twice as long", put(OF_ACME, encode_u64(0x10001) * 2), "is not a block of postings"),
    ("a block without its last one", put(block(1, "ear", b"\0\0\0\7"), encode_u64(0x10001)), "not followed by its"),
    ("a pid beyond its block's", put(block(1, "ear", b"\0\0\0\1"), encode_u64(7 << 32 | 0x10001)), "is not a block of"),
    ("postings of nobody", put(block(7, "ear"), encode_u64(0x10001)), "audience 7 has other postings than its points"),
    ("statistics missing", drop(text_statistics_key(2)), "audience 2 counts (0, 0), not (1, 1)"),
    ("other statistics", put(text_statistics_key(2), encode_statistics(1, 2)), "audience 2 counts (1, 2), not (1, 1)"),
    ("no statistics", put(text_statistics_key(2), b"\0"), "are not 16 bytes long"),
    ("a bit of the document", flip(TEXT_INDEX_KEY, 9), "the document of the text index is damaged"),
    ("the document missing", drop(TEXT_INDEX_KEY), "is of no text index"),
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return golden_copy(tmp_path / "data")


def test_the_index_of_the_golden_directory_is_sound(path: Path) -> None:
    assert check_directory(path, analyser_of) == []
    assert {OF_ACME, OF_ALL, block(2, "triangle")} <= entries(path)[SHAPES].keys()
    assert block(1, "pentagon") not in entries(path)[SHAPES]


@pytest.mark.parametrize(("damage", "what"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_damage_of_the_text_index_is_found_and_repaired(path: Path, damage: Damage, what: str) -> None:
    before = entries(path)
    hurt(path, SHAPES, damage)
    faults = check_directory(path, analyser_of)
    assert any(what in fault.what for fault in faults), faults
    done = repair(path, analysers=analyser_of)
    assert (done.findings.faults, len(done.changes) > 0, done.aside) == ([], True, None)
    assert entries(path) == before
    after = files(path)
    assert (repair(path, analysers=analyser_of).changes, files(path)) == ([], after), "a second repair did something"


def test_a_repair_without_analysers_leaves_a_damaged_index_to_the_server(path: Path) -> None:
    hurt(path, SHAPES, put(OF_ACME, b""))
    assert repair(path).findings.faults == []
    assert not any(0x79 <= key[0] <= 0x7B for key in entries(path)[SHAPES])
    assert check_directory(path, analyser_of) == []


def test_the_text_index_follows_what_a_repair_sets_aside(path: Path) -> None:
    hurt(path, SHAPES, flip(TRIANGLE, -2))
    assert len(check_directory(path, analyser_of)) == 1, "what the damaged record has nobody knows"
    assert repair(path, drop_damaged=True, analysers=analyser_of).findings.faults == []
    with changing(path / SHAPES) as txn:
        assert txn.get(OF_ACME) is None and txn.get(OF_ALL) is not None


def test_a_record_that_was_changed_behind_the_text_index_is_found(path: Path) -> None:
    hurt(path, SHAPES, rewrite(TRIANGLE, payload=b'{"sides":3,"name":"tricorn"}'))
    assert OTHER in {fault.what for fault in check_directory(path, analyser_of)}


@pytest.mark.parametrize(
    "changed",
    [{"state": IndexState.DROPPING}, {"version": "0"}, {"language": "unheard"}],
    ids=["dropped", "outdated", "of a newer release"],
)
def test_an_index_that_does_not_answer_is_looked_at_for_its_form(path: Path, changed: dict[str, object]) -> None:
    hurt(path, SHAPES, redraft(TEXT_INDEX_KEY, TextIndex, **changed))
    hurt(path, SHAPES, drop(OF_ACME))
    assert check_directory(path, analyser_of) == []
    hurt(path, SHAPES, put(OF_ALL, b"\0"))
    assert len(check_directory(path, analyser_of)) == 1


def test_an_index_that_is_being_built_has_the_points_up_to_its_position(path: Path) -> None:
    building = redraft(TEXT_INDEX_KEY, TextIndex, state=IndexState.BUILDING, position=1 << 32)  # the triangle
    hurt(path, SHAPES, building)
    assert {fault.what for fault in check_directory(path, analyser_of)} == {
        f"the text index of audience {EVERYONE_ID} counts (1, 1), not (0, 0)",
        f"the text index of audience {EVERYONE_ID} has other postings than its points",
    }
    hurt(path, SHAPES, drop(OF_ALL))
    hurt(path, SHAPES, drop(text_statistics_key(EVERYONE_ID)))
    assert check_directory(path, analyser_of) == []
