"""Changes as tests compare them: plain numbers in place of arrays."""

from vdb.storage.changes import LoggedChange, Numbers

PlainChange = tuple[list[int], list[int], dict[int, list[int] | None], dict[int, list[int]], bool]


def plain(change: LoggedChange) -> PlainChange:
    """(pids, expiries, puts, kills, whether it only inserts) of a change."""
    return (
        change.pids.tolist(),
        change.expires_at_ms.tolist(),
        {audience: None if numbers is None else _listed(numbers) for audience, numbers in change.puts.items()},
        {audience: _listed(numbers) for audience, numbers in change.kills.items()},
        change.inserts_only,
    )


def _listed(numbers: Numbers) -> list[int]:
    return [int(number) for number in numbers]
