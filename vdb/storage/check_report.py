"""The text of `vdb check`: one line per fault, then what was looked at."""

from pathlib import Path

from vdb.storage.check import examine


def report_of(path: Path) -> tuple[list[str], bool]:
    """Lines for people, and whether the directory is sound; raises what `check.examine` raises."""
    findings = examine(path)
    lines = [f"{fault.where}: {fault.what}" for fault in findings.faults]
    if findings.n_faults > len(findings.faults):
        lines.append(f"… and {findings.n_faults - len(findings.faults)} more")
    counts = f"{findings.n_collections} collections, {findings.n_tenants} tenants, {findings.n_points} points"
    lines.append(f"{path}: {counts}: {f'faults: {findings.n_faults}' if findings.n_faults else 'ok'}")
    return lines, not findings.n_faults
