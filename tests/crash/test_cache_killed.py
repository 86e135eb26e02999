"""A cache's environment after SIGKILL holds every acknowledged commit, and of the next one all or nothing."""

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.record import ROOT
from tests.storage.cache_examples import ANSWER, CACHE_ID, SIZES, VECTOR, cache_environment, contents, entry
from vdb.storage.cache_codec import Source
from vdb.storage.cache_entries import put_entry, remove_entry
from vdb.storage.cache_labels import put_label, put_statistics, trim_labels
from vdb.storage.catalog import ACTIVE, CacheDocument
from vdb.storage.check_cache import check_cache
from vdb.storage.env import Environment
from vdb.storage.faults import Findings
from vdb.storage.keyspace import META_SEQUENCE
from vdb.storage.meta import write_number

N_KEPT, N_TEXTS = 25, 40
N_TRIALS = 4


def step(env: Environment, i: int) -> None:
    """One commit: an entry that may replace another, the eviction of an old one, a label, statistics."""
    made = entry(
        i, text=f"q{i % N_TEXTS}", expires_at_ms=i + 1, sequence=i, sources=(Source(1, 2, b"%d" % (i % 7), i),)
    )
    with env.write() as txn:
        put_entry(txn, made, VECTOR, ANSWER, group=i // 2)
        remove_entry(txn, made.tenant, max(0, i - N_KEPT))
        put_label(txn, 2, "faq", b'{"n":%d}' % i)
        trim_labels(txn, 2, "faq", 10)
        put_statistics(txn, 2, "faq", b'{"n":%d}' % i)
        write_number(txn, META_SEQUENCE, i)


def write(path: str) -> None:
    """Commit for ever; a line on standard output acknowledges each."""
    env = Environment(Path(path), **SIZES)
    for i in range(1, 1 << 30):
        step(env, i)
        print(i, flush=True)


def acknowledged(path: Path, n_lines: int) -> Iterator[int]:
    """What a writer acknowledges, which is killed after so many lines."""
    command = [sys.executable, "-c", f"from tests.crash.test_cache_killed import write; write({str(path)!r})"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            yield int(line)
            n_lines -= 1
            if n_lines == 0:
                writer.kill()


@pytest.mark.parametrize("seed", range(N_TRIALS))
def test_a_killed_writer_leaves_all_of_what_it_acknowledged(tmp_path: Path, seed: int) -> None:
    with cache_environment(tmp_path / "killed"):
        pass
    last = max(acknowledged(tmp_path / "killed", random.Random(seed).randrange(1, 120)))
    killed = Environment(tmp_path / "killed", **SIZES)
    found = contents(killed)
    with cache_environment(tmp_path / "model") as model:
        for i in range(1, last + 1):
            step(model, i)
        allowed = [contents(model)]
        step(model, last + 1)
        allowed.append(contents(model))
    assert found in allowed
    document = CacheDocument(
        id=CACHE_ID, name="c", state=ACTIVE, dimension=2, embedding_version="", tenants=None, created_at_ms=1
    )
    findings = Findings()
    with killed.read() as txn:
        check_cache(txn, document, lambda tenant: True, findings)
    killed.close()
    assert findings.faults == []
