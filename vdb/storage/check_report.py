"""The text of `vdb check`: one line per fault, then what was looked at."""

from pathlib import Path

from vdb.storage.faults import Findings


def report_of(path: Path, findings: Findings) -> list[str]:
    """Lines for people."""
    lines = [f"{fault.where}: {fault.what}" for fault in findings.faults]
    if findings.n_faults > len(findings.faults):
        lines.append(f"… and {findings.n_faults - len(findings.faults)} more")
    counts = f"{findings.n_collections} collections, {findings.n_tenants} tenants, {findings.n_points} points"
    lines.append(f"{path}: {counts}: {f'faults: {findings.n_faults}' if findings.n_faults else 'ok'}")
    return lines
