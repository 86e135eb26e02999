"""Rates and usage of tenants, by every way to reach the engine; only a server limits and counts."""

from tests.contract.ways import World


def test_rates(world: World) -> None:
    admin, name = world.admin, world.name("acme")
    own = {"reads_per_s": 100.0, "writes_per_s": None, "bytes_per_s": 0.5, "burst_s": 3.0, "is_default": False}
    made = admin.create_tenant(name, 5, rate={"reads_per_s": 100, "bytes_per_s": 0.5, "burst_s": 3})
    assert world.plain(made)["rate"] == own
    changed = world.plain(admin.update_tenant(name, rate={"writes_per_s": 7}))
    assert changed["rate"] == dict.fromkeys(own) | {"writes_per_s": 7.0, "burst_s": 2.0, "is_default": False}
    assert changed["quota"] == {"points": 5, "bytes": None}, "a rate alone leaves the quota as it is"
    assert world.plain(admin.update_tenant(name, 6))["rate"] == changed["rate"], "and a quota the rate"
    assert world.plain(admin.update_tenant(name, rate=None))["rate"]["is_default"] is True
    for wrong in ({"reads_per_s": 0}, {"bytes_per_s": -1}, {"burst_s": 1e13}, {"per_minute": 1}):
        assert world.code(admin.update_tenant, name, rate=wrong) in ("invalid_argument", "unknown_field")


def test_usage(world: World) -> None:
    admin, name = world.admin, world.name("acme")
    admin.create_tenant(name)
    assert world.plain(admin.tenant_usage(name)) == []
    assert world.plain(admin.tenant_usage(name, month="2026-01")) == []
    for wrong in ("2026-13", "2026-1", "202601", "x"):
        assert world.code(admin.tenant_usage, name, month=wrong) == "invalid_argument"
    for foreign in (world.name("globex"), world.name("nobody")):
        world.tenant("globex")
        assert world.code(world.tenant("acme").tenant_usage, foreign) == "tenant_not_found"
