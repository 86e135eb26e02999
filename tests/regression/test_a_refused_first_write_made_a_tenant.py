"""A service key's first write for a new tenant that was refused left the tenant behind."""

from pathlib import Path

import pytest

import vdb
from vdb.errors import TenantNotFound, UnknownGrantee


def test_a_refused_first_write_makes_no_tenant(tmp_path: Path) -> None:
    with vdb.open(tmp_path, compile_kernels=False) as db:
        db.create_collection("notes", dimension=2)
        fresh = db.collection("notes", tenant="fresh")
        with pytest.raises(UnknownGrantee):
            fresh.upsert(ids=["a"], vectors=[[1, 0]], shared_with=[["nobody"]])
        with pytest.raises(TenantNotFound):
            db.get_tenant("fresh")
        fresh.upsert(ids=["a"], vectors=[[1, 0]])
        assert db.get_tenant("fresh").usage.points == 1
        assert [tenant.usage.points for tenant in db.tenants()] == [1]
