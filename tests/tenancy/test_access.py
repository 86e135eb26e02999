"""Who may do what, by role."""

import msgspec
import pytest

from vdb.errors import CollectionNotFound, Forbidden, SharingForbidden, TenantNotFound, TenantRequired
from vdb.storage.catalog import CollectionDocument
from vdb.storage.keyspace import EVERYONE_ID
from vdb.tenancy.access import check_access, check_sharing, check_tenant_exists, check_usable, may_use
from vdb.types import Caller, Metric, Role, Sharing

OPEN = CollectionDocument(
    id=1, name="notes", state="active", dimension=2, metric=Metric.L2, sharing=Sharing.MANAGED, fields={},
    tenants=None, created_at_ms=1,
)  # fmt: skip
CLOSED = msgspec.structs.replace(OPEN, tenants=[1])
BETWEEN_TENANTS = msgspec.structs.replace(OPEN, sharing=Sharing.TENANTS)


def caller(role: Role, tenant_id: int | None = 1) -> Caller:
    return Caller("key-1", role, None if tenant_id is None else f"t{tenant_id}", tenant_id)


@pytest.mark.parametrize("role", [Role.SERVICE, Role.WRITE, Role.READ])
def test_only_admins_manage(role: Role) -> None:
    check_access(caller(Role.ADMIN, None), "admin")
    with pytest.raises(Forbidden):
        check_access(caller(role), "admin")


def test_everybody_but_a_read_key_writes() -> None:
    for role in (Role.ADMIN, Role.SERVICE, Role.WRITE):
        check_access(caller(role), "write")
    with pytest.raises(Forbidden):
        check_access(caller(Role.READ), "write")
    check_access(caller(Role.READ), "read")


@pytest.mark.parametrize("access", ["read", "write"])
def test_points_need_a_tenant(access: str) -> None:
    with pytest.raises(TenantRequired):
        check_access(caller(Role.ADMIN, None), access)


def test_a_tenant_that_does_not_exist_yet_has_no_points_to_read() -> None:
    assert check_tenant_exists(caller(Role.ADMIN, 3)) == 3
    with pytest.raises(TenantNotFound):
        check_tenant_exists(caller(Role.ADMIN)._replace(tenant="new", tenant_id=None))


def test_a_collection_of_others_answers_like_none() -> None:
    assert check_usable(CLOSED, caller(Role.WRITE, 1)) is CLOSED
    answers = []
    for collection in (CLOSED, None):
        with pytest.raises(CollectionNotFound) as refused:
            check_usable(collection, caller(Role.WRITE, 2))
        answers.append((refused.value.detail, refused.value.problems))
    assert answers[0] == answers[1]


def test_an_admin_sees_a_collection_unless_acting_for_a_tenant_without_it() -> None:
    assert check_usable(CLOSED, caller(Role.ADMIN, None)) is CLOSED
    with pytest.raises(CollectionNotFound):
        check_usable(CLOSED, caller(Role.ADMIN, 2))


def test_a_tenant_to_be_made_may_use_open_collections_only() -> None:
    assert may_use(OPEN, None) and not may_use(CLOSED, None)


def test_tenants_share_where_the_collection_lets_them_and_never_with_everyone() -> None:
    with pytest.raises(SharingForbidden):
        check_sharing(OPEN, caller(Role.WRITE), [2])
    check_sharing(BETWEEN_TENANTS, caller(Role.WRITE), [2])
    check_sharing(OPEN, caller(Role.SERVICE), [2])
    for role in (Role.WRITE, Role.SERVICE):
        with pytest.raises(SharingForbidden):
            check_sharing(BETWEEN_TENANTS, caller(role), [2, EVERYONE_ID])
    check_sharing(OPEN, caller(Role.ADMIN), [EVERYONE_ID])
