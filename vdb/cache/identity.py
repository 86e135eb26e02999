"""What has to be equal for an entry to be eligible. Entries with one identity lie together: in one partition.

So eligibility comes before similarity by construction: a search of the partition sees nothing else.
"""

from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from vdb.cache.text import normalise

KEY_BYTES = 16
NO_RETRIEVAL = b""

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Identity:
    """`scope`, `model`, `fingerprint` and `turns` are the caller's texts; `retrieval` a hash of collection, filter and
    limit, or `NO_RETRIEVAL`."""

    tenant: int
    category: str
    scope: str
    model: str
    fingerprint: str
    turns: str
    embedding_version: str
    retrieval: bytes

    @property
    def partition(self) -> bytes:
        """Hash that names the partition, 16 bytes. Whoever finds an entry by it compares the identity itself too."""
        fields = (
            self.tenant, self.category, self.scope, self.model, self.fingerprint, self.turns, self.embedding_version,
            self.retrieval,
        )  # fmt: skip
        return blake2b(_encode(fields), digest_size=KEY_BYTES).digest()


def exact_key(partition: bytes, text: str) -> bytes:
    """Hash of a question in its partition, 16 bytes."""
    return blake2b(partition + normalise(text).encode(), digest_size=KEY_BYTES).digest()


def retrieval_key(collection: int, filter_json: bytes, limit: int) -> bytes:
    """Hash of how a retrieval chooses, 16 bytes; `filter_json` is canonical, empty for none."""
    return blake2b(_encode((collection, filter_json, limit)), digest_size=KEY_BYTES).digest()
