"""Writes tests/golden/v6: a small data directory of format 6, and what every caller must read from it.

    python -m tests.golden.make

Clock and secrets are fixed, so that a second run makes the same documents. Run it only when a format version is new:
the point of a golden directory is that the release which introduced the format wrote it, as it did with v1 to v5.
"""

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from msgspec.structs import replace

from tests.engine.cache_driver import CacheDriver, source
from tests.engine.driver import Driver, opened
from vdb.cache import policy as cache_policy
from vdb.engine import cache_policies
from vdb.protocol.answering import Answering
from vdb.protocol.cache_requests import HitName, Retrieval, ScrollEntries
from vdb.protocol.requests import (
    DeletePoints,
    EmbeddingModel,
    Empty,
    ListPage,
    PayloadChange,
    RotateKey,
    Scroll,
    SetAliases,
    TenantRate,
    TextIndex,
    UpdateCollection,
    UpdatePayload,
    UpdateTenant,
    UsagePage,
)
from vdb.protocol.template_requests import GetTemplate, PutTemplate
from vdb.storage.codec import FORMAT_VERSION
from vdb.storage.directory import DataDirectory
from vdb.storage.env import Environment
from vdb.types import FieldType, Metric, Role, Sharing

HERE = Path(__file__).parent
VERSIONS = range(1, FORMAT_VERSION + 1)
ADMIN_KEY = "golden-admin-key-of-format-1"
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRED_AT = datetime(2026, 1, 2, tzinfo=UTC)
EXPIRES_AT = datetime(2100, 1, 1, tzinfo=UTC)
LIFE_S = (EXPIRES_AT - MADE_AT).total_seconds()
"""Entries of caches live as long: no server lets them."""
TENANTS = ("acme", "globex", "initech")
COLLECTIONS = ("notes", "shapes")


def directory_of(version: int) -> Path:
    return HERE / f"v{version}"


def expected_of(version: int) -> Path:
    """What is read from the directory, as JSON."""
    return HERE / f"v{version}.json"


@contextmanager
def fixed_clock_and_secrets() -> Iterator[None]:
    """Time stands still, and what should be random is counted."""
    numbers = count()

    def draw(n: int) -> bytes:
        return sha256(b"golden %d" % next(numbers)).digest()[:n]

    with (
        mock.patch.object(time, "time_ns", lambda: int(MADE_AT.timestamp()) * 10**9),
        mock.patch.object(secrets, "token_bytes", draw),
        mock.patch.object(secrets, "token_hex", lambda n: draw(n).hex()),
        mock.patch.object(secrets, "token_urlsafe", lambda n: draw(n).hex()),
        mock.patch.object(secrets, "randbits", lambda n: int.from_bytes(draw(n // 8))),
        mock.patch.object(cache_policy, "LONGEST_TTL_S", LIFE_S),
        mock.patch.object(cache_policies, "LONGEST_TTL_S", LIFE_S),
    ):
        yield


def fill(driver: Driver) -> dict[str, str]:
    """Write something of every kind; the secrets of the keys by name."""
    for name in TENANTS:
        driver.create_tenant(name, *((1_000, 1_000_000) if name == "globex" else (None, None)))
    driver.create("notes", dimension=4, metric=Metric.COSINE)
    fields = {"sides": FieldType.INTEGER, "name": FieldType.STRING, "drawn": FieldType.DATETIME}
    driver.create(
        "shapes",
        dimension=3,
        metric=Metric.L2,
        sharing=Sharing.TENANTS,
        fields=fields,
        tenants=["acme", "globex"],
        indexes=["sides", "name", "drawn"],
        text=TextIndex(fields={"name": 1}, language="english"),
    )
    _fill_notes(driver)
    _fill_shapes(driver)
    job = driver.run("delete_points", "initech", ("notes",), DeletePoints(filter={"field": "draft", "eq": True}))
    assert driver.finish_job(job).state == "done"
    _fill_catalog(driver)
    _fill_cache(driver)
    return _make_keys(driver)


def _fill_notes(driver: Driver) -> None:
    driver.upsert(
        "acme", "notes", ["a1", "a2", "ä3"], [[1, 0, 0, 0], [0, 1, 0, 0], [0.5, 0.5, 0.25, -2]],
        payloads=[{"lang": "en", "year": 2020}, {"text": "zwölf", "tags": ["x", "y"]}, {"a": {"b": [1, {"c": None}]}}],
    )  # fmt: skip
    driver.upsert("acme", "notes", ["no-vector"], payloads=[{"only": "payload"}])
    driver.upsert("acme", "notes", ["zero"], [[0, 0, 0, 0]])
    driver.upsert("globex", "notes", ["a1", "for-all"], [[0, 0, 1, 0], [0, 0, 0, 1]])
    driver.upsert("globex", "notes", ["later", "gone"], [[1, 1, 0, 0]] * 2, expires_at=[EXPIRES_AT, EXPIRED_AT])
    driver.upsert("initech", "notes", [f"i{i}" for i in range(6)], [[i + 1, 1, 0, 0] for i in range(6)],
                  payloads=[{"draft": i % 2 == 0} for i in range(6)])  # fmt: skip
    driver.share("globex", "notes", ["for-all"], ["*"])
    driver.share("acme", "notes", ["a1", "no-vector"], ["globex", "initech"])
    driver.share("acme", "notes", ["a1"], ["initech"], "revoke")
    driver.upsert("acme", "notes", ["a2"], [[0, 2, 0, 0]], payloads=[{"text": "changed"}])
    change = PayloadChange(id="a1", payload=msgspec.Raw(b'{"year":2021,"lang":null,"new":true}'))
    driver.run("update_payload", "acme", ("notes",), UpdatePayload(points=[change]))


def _fill_shapes(driver: Driver) -> None:
    driver.keep_changes("shapes")
    names = ["triangle", "square", "pentagon"]
    driver.upsert(
        "acme", "shapes", names, [[i, 2 * i, -i] for i in range(3)],
        payloads=[{"sides": i + 3, "name": name, "drawn": "2025-05-05T05:05:05Z"} for i, name in enumerate(names)],
        shared_with=[["globex"], [], ["*"]],
    )  # fmt: skip
    driver.upsert("globex", "shapes", ["circle"], [[1.5, 2.5, 3.5]], expires_at=[EXPIRES_AT], shared_with=[["acme"]])
    driver.delete("acme", "shapes", ["square"])


def _fill_cache(driver: Driver) -> None:
    """New with format 4: entries with sources and without, one that is found by its exact key only, a label; with
    format 6 what an entry keeps of a search by words."""
    always = {"threshold": 0.9, "guard": False, "explore": 0.0, "ttl_s": LIFE_S, "ttl_jitter": 0.0}
    cache = CacheDriver.made(
        driver, always | {"reserve_entries": 2}, embedding_version="eye-2", tenants=["acme", "globex"]
    )
    cache.put_policy("law", **always | {"mode": "exact"})
    (point,) = driver.get("acme", "notes", ["a1"])
    of_notes = [source("a1", point.version, "notes")]
    sequence = driver.write("notes", lambda group: group.sequence)
    near = Retrieval(collection="notes", vector=[1.0, 0.0, 0.0, 0.0], limit=2, sequence=sequence)
    cache.store("acme", cache.lookup("acme", "what is first?"), {"text": "a1"}, sources=of_notes)
    other = cache.lookup("acme", "what is second?", [0.8, 0.6])
    cache.store("acme", other, {"text": "zwölf"}, verdict="wrong")
    found = cache.lookup("acme", "what is near?", [0.0, 1.0], retrieval=near)
    cache.store("acme", found, {"text": "a1 and a2"}, sources=of_notes)
    cache.store("acme", cache.lookup("acme", "what is the law?", None, category="law"), ["§ 1"])
    of_shapes = driver.write("shapes", lambda group: group.sequence)
    words = Retrieval(collection="shapes", text="pentagon", limit=2, sequence=of_shapes, hits=[HitName(id="pentagon")])
    cache.store("acme", cache.lookup("acme", "how many sides?", [-1.0, 0.0]), {"text": "five"}, retrieval=words)
    cache.store("globex", cache.lookup("globex", "what is first?"), "of globex")


def _fill_catalog(driver: Driver) -> None:
    """What format 1 did not have. New with format 3: log of changes, payload indexes; with 5: text indexes; with 6:
    templates, and what a collection says of its answers."""
    driver.run("set_aliases", None, (), SetAliases(set={"figures": "shapes"}))
    change = UpdateCollection(embedding=EmbeddingModel(model="eye", version="2"), metadata={"team": "geometry"})
    driver.run("update_collection", None, ("shapes",), change)
    for text in ("Brief: {context}", "Shorter: {context}"):
        driver.run("put_template", None, ("shapes", "brief"), PutTemplate(system=text))
    own = Answering(template="brief@1", limit=7, threshold=0.25, order="prefix")
    driver.run("update_collection", None, ("shapes",), UpdateCollection(answering=own))
    driver.run("update_tenant", None, ("globex",), UpdateTenant(rate=TenantRate(reads_per_s=100.0)))
    driver.engine.services.usage.add(1, 3, 4, 500, 600, 1)


def _make_keys(driver: Driver) -> dict[str, str]:
    made = {
        "writer": driver.create_key(Role.WRITE, "acme", name="writer"),
        "reader": driver.create_key(Role.READ, "globex", name="reader", expires_at=EXPIRES_AT),
        "server": driver.create_key(Role.SERVICE, name="server"),
        "expired": driver.create_key(Role.WRITE, "globex", name="expired", expires_at=EXPIRED_AT),
    }
    keys = {name: str(answer.key) for name, answer in made.items()}
    rotated = driver.run("rotate_key", None, (made["writer"].id,), RotateKey(grace_s=3600))
    driver.engine.authenticate(str(rotated.key), None)
    return keys | {"writer": str(rotated.key), "replaced": keys["writer"]}


def contents(driver: Driver) -> dict[str, Any]:
    """Everything that can be read, as JSON values."""
    found: dict[str, Any] = {
        "collections": [driver.run("get_collection", None, (name,), Empty()) for name in COLLECTIONS],
        "tenants": driver.run("list_tenants", None, (), ListPage()).tenants,
        "keys": driver.run("list_keys", None, (), ListPage()).keys,
        "jobs": driver.run("list_jobs", None, (), ListPage()).jobs,
        "aliases": driver.run("list_aliases", None, (), ListPage()).aliases,
        "usage": driver.run("tenant_usage", None, ("acme",), UsagePage()).months,
        "caches": driver.run("list_caches", None, (), ListPage()).caches,
        "templates": _templates(driver),
        "points": {},
        "nearest": {},
    }
    found |= _cached(driver) if found["caches"] else {}
    for collection in COLLECTIONS:
        for tenant in TENANTS if collection == "notes" else TENANTS[:2]:
            request = Scroll(scope="visible", with_vector=True, vector_encoding="base64")
            found["points"][f"{collection} {tenant}"] = driver.run("scroll", tenant, (collection,), request)
            query = [1.0, 2.0, 3.0, 4.0][: 4 if collection == "notes" else 3]
            found["nearest"][f"{collection} {tenant}"] = driver.found(tenant, collection, query)
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))
    return plain


def _templates(driver: Driver) -> list[Any]:
    listed = driver.run("list_templates", None, ("shapes",), Empty()).templates
    return [
        driver.run("get_template", None, ("shapes", kept.name), GetTemplate(version=version))
        for kept in listed
        for version in kept.versions
    ]


def _cached(driver: Driver) -> dict[str, Any]:
    """Policies, entries, and what is answered in the same words and in others."""
    cache = CacheDriver(driver)
    entries: list[Any] = []
    for tenant in TENANTS[:2]:
        page = driver.run("scroll_entries", tenant, cache.path, ScrollEntries(with_answer=True)).entries
        entries += [replace(entry, age_s=0.0) for entry in page]
    asked = [("what is first?", [1.0, 0.0]), ("and what is second?", [0.8, 0.6]), ("what is third?", [0.6, -0.8])]
    asked += [("how many sides has it?", [-1.0, 0.0])]
    return {
        "policies": driver.run("list_policies", None, cache.path, Empty()),
        "entries": entries,
        "answers": {
            f"{tenant} {text}": cache.answer(tenant, text, vector) for tenant in TENANTS[:2] for text, vector in asked
        },
    }


def copy_compacted(source: Path, target: Path) -> None:
    """The directory as small as it gets: no free pages, no lock files."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700)
    shutil.copy(source / "secret", target / "secret")
    directory = DataDirectory(source)
    kept = [*sorted(directory.collections_path.iterdir()), *sorted(directory.caches_path.iterdir())]
    for path in (directory.catalog_path, *kept):
        copy = target / path.relative_to(source)
        copy.mkdir(parents=True)
        env = Environment(path, map_bytes=1 << 20, max_map_bytes=1 << 20, read_only=True)
        env.copy_to(copy)
        env.close()
    directory.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "data"
        with fixed_clock_and_secrets(), opened(path, admin_key=ADMIN_KEY) as driver:
            keys = fill(driver)
        copy_compacted(path, directory_of(FORMAT_VERSION))
        with opened(path, admin_key=ADMIN_KEY) as driver:
            expected = {"secrets": keys, **contents(driver)}
    expected_of(FORMAT_VERSION).write_bytes(msgspec.json.format(msgspec.json.encode(expected), indent=1) + b"\n")


if __name__ == "__main__":
    main()
