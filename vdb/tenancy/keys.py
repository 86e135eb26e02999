"""API keys: random secrets, their keyed hashes, and what makes a key valid now.

A secret is shown once; stored is blake2b of it, keyed with the directory's secret file, so that a copy of the catalog
alone verifies nothing. The hash is the index, and is compared again in constant time.
"""

import hmac
import secrets
from hashlib import blake2b

from vdb.errors import InvalidArgument, KeyExpired, Unauthenticated
from vdb.storage.catalog import KeyDocument

PREFIX = "vdb_"
MIN_SECRET_CHARACTERS = 16
MAX_SECRET_CHARACTERS = 512


def new_secret() -> str:
    """A key's secret: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def new_key_id() -> str:
    """A key's public id: 96 random bits, never the name of a tenant."""
    return "key-" + secrets.token_hex(12)


def digest_of(secret: str, hash_key: bytes) -> str:
    """Keyed hash of a secret, hexadecimal."""
    return blake2b(secret.encode("utf-8", "surrogateescape"), key=hash_key, digest_size=32).hexdigest()


def check_secret(secret: str) -> None:
    """Raise InvalidArgument for a chosen secret that is too short, too long or not printable ASCII."""
    if not MIN_SECRET_CHARACTERS <= len(secret) <= MAX_SECRET_CHARACTERS:
        raise InvalidArgument(f"an admin key has {MIN_SECRET_CHARACTERS} to {MAX_SECRET_CHARACTERS} characters")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InvalidArgument("an admin key is printable ASCII without spaces")


def check_key(document: KeyDocument | None, digest: str, now_ms: int) -> KeyDocument:
    """The key of a digest, if it is valid now; raises Unauthenticated or KeyExpired."""
    if document is None:
        raise Unauthenticated("the key is not known")
    if not hmac.compare_digest(document.hash, digest) and not _is_in_grace(document, digest, now_ms):
        raise Unauthenticated("the key is not known")
    if 0 < document.expires_at_ms <= now_ms:
        raise KeyExpired("the key has expired")
    return document


def _is_in_grace(document: KeyDocument, digest: str, now_ms: int) -> bool:
    """Whether the digest is that of the rotated secret, still within its grace."""
    return hmac.compare_digest(document.previous_hash, digest) and now_ms < document.previous_until_ms
