"""SIGKILL while a backup is made: the folder holds whole backups only, and the next backup sweeps the rest."""

import threading
import time
from pathlib import Path

import numpy as np

import vdb.testing
from vdb.errors import TransportError
from vdb.storage.check import check_directory
from vdb.storage.restore import restore

N_KILLS = 4
N_COLLECTIONS = 8


def _back_up(server: vdb.testing.RunningServer, name: str, answered: list[str]) -> None:
    try:
        answered.append(server.admin().create_backup(name).name)
    except TransportError:
        return


def test_what_is_listed_after_a_kill_restores(tmp_path: Path, rng: np.random.Generator) -> None:
    answered: list[str] = []
    with vdb.testing.server(compile_kernels=False, backup_dir=tmp_path / "backups") as server:
        writer = server.client("acme", "service")
        for i in range(N_COLLECTIONS):
            server.admin().create_collection(f"c{i}", 8)
            writer.collection(f"c{i}").upsert([str(n) for n in range(500)], rng.random((500, 8)))
        for i in range(N_KILLS):
            asking = threading.Thread(target=_back_up, args=(server, f"b{i}", answered))
            asking.start()
            time.sleep(float(rng.uniform(0.0, 0.2)))
            server.kill()
            asking.join()
            server.start()
        listed = [backup.name for backup in server.admin().backups()]
        server.admin().create_backup("last")
        assert not list((tmp_path / "backups").glob(".*.draft"))
    assert set(answered) <= set(listed)
    for name in [*listed, "last"]:
        manifest = restore(tmp_path / "backups" / name, tmp_path / f"restored-{name}")
        assert [held.n_points for held in manifest.collections] == [500] * N_COLLECTIONS
        assert check_directory(tmp_path / f"restored-{name}") == []
