"""The text of `vdb check`: one line per fault and per environment of an older format, then what was looked at."""

from pathlib import Path

from vdb.storage.codec import FORMAT_VERSION
from vdb.storage.faults import Findings
from vdb.storage.repair import Repaired


def report_of(path: Path, findings: Findings) -> list[str]:
    """Lines for people."""
    lines = [f"{fault.where}: {fault.what}" for fault in findings.faults]
    if findings.n_faults > len(findings.faults):
        lines.append(f"… and {findings.n_faults - len(findings.faults)} more")
    lines += [
        f"{place}: it has format {version}, which the next start migrates to {FORMAT_VERSION}"
        for place, version in findings.older.items()
    ]
    counts = f"{findings.n_collections} collections, {findings.n_tenants} tenants, {findings.n_points} points"
    if findings.n_caches:
        counts += f", {findings.n_caches} caches, {findings.n_entries} entries"
    lines.append(f"{path}: {counts}: {f'faults: {findings.n_faults}' if findings.n_faults else 'ok'}")
    return lines


def repairs_of(path: Path, done: Repaired) -> list[str]:
    """Lines for people: what a repair did, then what a check found after it."""
    lines = [f"{place}: migrated to format {FORMAT_VERSION}" for place in done.migrated]
    lines += [f"{change.where}: {change.what}: {change.n}" for change in done.changes]
    if done.aside is not None:
        lines.append(f"{done.aside}: holds what was set aside: {done.n_aside} entries")
    if not (done.migrated or done.changes):
        lines.append(f"{path}: nothing was changed")
    return lines + report_of(path, done.findings)
