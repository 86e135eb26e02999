"""Secrets, hashes, and when a key is valid."""

import msgspec
import pytest

from vdb.errors import InvalidArgument, KeyExpired, Unauthenticated
from vdb.storage.catalog import KeyDocument
from vdb.tenancy.keys import check_key, check_secret, digest_of, new_key_id, new_secret
from vdb.types import NAME, Role

HASH_KEY = b"k" * 32
OLD, NEW = digest_of("old secret of a key", HASH_KEY), digest_of("new secret of a key", HASH_KEY)
KEY = KeyDocument(id="key-1", name="", role=Role.READ, tenant_id=1, hash=NEW, created_at_ms=1)
ROTATED = msgspec.structs.replace(KEY, previous_hash=OLD, previous_until_ms=1000)


def test_secrets_and_ids_are_new_each_time() -> None:
    assert len({new_secret() for _ in range(50)}) == len({new_key_id() for _ in range(50)}) == 50
    assert all(NAME.match(new_key_id()) for _ in range(50))


def test_a_hash_depends_on_the_directorys_secret_and_takes_any_text() -> None:
    assert digest_of("a", HASH_KEY) != digest_of("a", b"x" * 32)
    assert len(digest_of("\udc80 not text", HASH_KEY)) == 64


def test_a_rotated_secret_works_until_its_grace_ends() -> None:
    assert check_key(ROTATED, OLD, 999) is ROTATED and check_key(ROTATED, NEW, 10**15) is ROTATED
    with pytest.raises(Unauthenticated):
        check_key(ROTATED, OLD, 1000)
    with pytest.raises(Unauthenticated):
        check_key(KEY, OLD, 0)


def test_a_key_expires_at_its_very_millisecond() -> None:
    key = msgspec.structs.replace(KEY, expires_at_ms=1000)
    assert check_key(key, NEW, 999) is key
    with pytest.raises(KeyExpired):
        check_key(key, NEW, 1000)


def test_an_unknown_key_and_a_wrong_secret_answer_alike() -> None:
    details = set()
    for document in (None, KEY):
        with pytest.raises(Unauthenticated) as refused:
            check_key(document, OLD, 0)
        details.add(refused.value.detail)
    assert len(details) == 1


@pytest.mark.parametrize(
    "secret", ["short", "x" * 513, "with a space in it", "ümlaut-in-the-secret", "tab\tin-the-secret"]
)
def test_a_chosen_secret_must_be_long_and_printable(secret: str) -> None:
    with pytest.raises(InvalidArgument):
        check_secret(secret)
    check_secret("a-good-admin-key")
