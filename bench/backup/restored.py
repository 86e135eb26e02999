"""What a backup holds, read from the directory that a restore makes of it."""

from contextlib import suppress
from pathlib import Path

import vdb
from bench.backup.history import State
from bench.backup.load import CATALOG, COLLECTIONS, vector_of
from vdb.errors import TenantNotFound
from vdb.storage.check import check_directory
from vdb.storage.restore import restore

BALLAST = "ballast"


def states_of(backup: Path, folder: Path, tenants: list[str], n_ballast: int) -> tuple[dict[str, State], list[str]]:
    """State by writer, and faults: what `vdb check` finds, vectors that are not their payload's, ballast missing."""
    restore(backup, folder)
    faults = [f"check: {fault.where}: {fault.what}" for fault in check_directory(folder)]
    states: dict[str, State] = {}
    with vdb.open(folder, compile_kernels=False) as database:
        sizes = {found.name: found.n_points for found in database.collections()}
        if sizes.pop(BALLAST) != n_ballast:
            faults.append("points of the ballast are missing")
        for tenant in tenants:
            states[tenant] = {}
            with suppress(TenantNotFound):  # its first write came after the backup
                for name in COLLECTIONS:
                    for point in database.collection(name, tenant).scroll(with_vector=True):
                        token = point.payload["token"]
                        states[tenant][name, point.id] = token
                        if point.vector.tolist() != vector_of(token):
                            faults.append(f"{tenant}/{name}/{point.id}: vector and payload are of different requests")
        n_owned = {name: sum(place[0] == name for state in states.values() for place in state) for name in COLLECTIONS}
        faults += [f"{name}: counts {sizes[name]}" for name in COLLECTIONS if sizes.pop(name) != n_owned[name]]
    states[CATALOG] = {(name, ""): n_points for name, n_points in sizes.items()}
    return states, faults
