"""The text index after SIGKILL says what the records say, whatever was being written, built or dropped."""

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bench.record import ROOT
from tests.engine.driver import Driver, opened, wait_until
from tests.engine.text_driver import names, state, update
from vdb.engine import jobs
from vdb.protocol.requests import TextIndex
from vdb.rag.analysis import analyser_of
from vdb.storage.check import check_directory

N_TRIALS = 4
TEXT = TextIndex(language="none")
TENANTS = ("acme", "globex")


def step(driver: Driver, rng: random.Random, i: int) -> None:
    """One write of a tenant: points put and replaced, shared or taken back, deleted."""
    tenant, other = rng.sample(TENANTS, 2)
    ids = [f"p{rng.randrange(60)}" for _ in range(8)]
    if i % 5 == 4:
        driver.delete(tenant, "notes", list(set(ids)))
        return
    payloads = [{"text": " ".join(rng.choices(("cat", "dog", "bird", "tree"), k=rng.randrange(6)))} for _ in set(ids)]
    shared = [rng.choice(([], [other], ["*"])) for _ in set(ids)]
    driver.upsert(tenant, "notes", list(set(ids)), payloads=payloads, shared_with=shared)


def write(path: str, seed: int) -> None:
    """Write for ever, while the index is dropped and built; a line on standard output says that a write is done."""
    rng = random.Random(seed)
    jobs.STEP_POINTS = 40
    with opened(Path(path)) as driver:
        for tenant in TENANTS:
            driver.create_tenant(tenant)
        driver.create("notes", text=TEXT)
        for i in range(1 << 30):
            step(driver, rng, i)
            if i % 40 == 20:
                update(driver, text=None if rng.random() < 0.5 else TextIndex(fields={"text": 1 + i}, language="none"))
            elif i % 40 == 30:
                update(driver, text=TEXT)
            print(i, flush=True)


@pytest.mark.parametrize("seed", range(N_TRIALS))
def test_a_killed_server_leaves_a_text_index_of_its_records(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "data"
    last = random.Random(seed).randrange(15, 120)
    code = f"from tests.crash.test_text_index_killed import write; write({str(path)!r}, {seed})"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) == last:  # a moment later: in the middle of what comes next
                threading.Timer(random.Random(seed).random() * 0.01, writer.kill).start()
    assert check_directory(path, analyser_of) == []
    with opened(path) as driver:
        update(driver, text=TEXT)
        wait_until(lambda: state(driver) == "ready")
        for tenant in TENANTS:
            own = driver.ids(tenant, "notes", scope="visible")
            assert set(names(driver, tenant, "cat dog bird tree")) <= set(own) and own
    assert check_directory(path, analyser_of) == []
