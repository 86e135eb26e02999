"""Words of the domain: metrics, roles, tiers, field types, the caller, and the form of names. Standard library only."""

import re
from enum import StrEnum
from typing import NamedTuple

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
"""Names of collections, tenants, caches and categories."""

EVERYONE = "*"
EVERYONE_ID = 0xFFFF_FFFF
"""Grantee id of points shared with everyone; tenant ids begin at 1."""
"""The grantee that stands for all tenants of a collection."""


MAIN_TEXT_FIELD = "text"
"""The payload field that holds a point's text, where a collection names no other."""


class Metric(StrEnum):
    """How distance is measured; smaller is nearer for each."""

    COSINE = "cosine"
    L2 = "l2"
    IP = "ip"


class Role(StrEnum):
    """What a key may do. `service` acts for the tenant named in the request; `read` and `write` are bound to one."""

    ADMIN = "admin"
    SERVICE = "service"
    WRITE = "write"
    READ = "read"


class Sharing(StrEnum):
    """Who may grant points of a collection: admin and service keys only, or tenants too."""

    MANAGED = "managed"
    TENANTS = "tenants"


class Tier(StrEnum):
    """Where a collection's index lies: codes and vectors in memory, codes only, or neither; `auto`: what fits."""

    AUTO = "auto"
    MEMORY = "memory"
    HYBRID = "hybrid"
    DISK = "disk"


class FieldType(StrEnum):
    """Types a collection may declare for payload fields."""

    NUMBER = "number"
    INTEGER = "integer"
    STRING = "string"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    LIST = "list"


class IndexState(StrEnum):
    """State of a payload index: filters use it once it is ready."""

    BUILDING = "building"
    READY = "ready"
    DROPPING = "dropping"


class Caller(NamedTuple):
    """Who asks: the key's role, id and name, and the tenant the request acts for.

    `tenant` is the name given by the key or, for service and admin keys, by the request; None where none was named.
    `tenant_id` is None while that tenant does not exist (a service or admin write creates it).
    """

    key_id: str
    role: Role
    tenant: str | None = None
    tenant_id: int | None = None
    key_name: str = ""

    @property
    def is_bound(self) -> bool:
        """Whether the key itself belongs to one tenant."""
        return self.role in (Role.READ, Role.WRITE)
