"""docs/http-api.md mentions every route, operation and error code."""

from pathlib import Path

import pytest

from vdb.errors import BY_CODE
from vdb.protocol.operations import OPERATIONS, Operation
from vdb_api.errors import status_of
from vdb_api.routers import system

TEXT = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
ROWS = {row.split("|")[1].strip(): row for row in TEXT.splitlines() if row.startswith("| ")}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_has_its_row(operation: Operation) -> None:
    cells = [cell.strip() for cell in ROWS[f"`{operation.method} {operation.path}`"].split("|")]
    assert cells[2:4] == [f"`{operation.name}`", operation.access]
    assert (" 201" in cells[4]) is operation.created


@pytest.mark.parametrize("path", system.PATHS)
def test_every_system_route_has_its_row(path: str) -> None:
    assert f"`GET {path}`" in ROWS


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_code_stands_in_the_row_of_its_status(code: str) -> None:
    if code.startswith("transport_"):
        assert f"`{code}`" in TEXT
    else:
        assert f"`{code}`" in ROWS[str(status_of(BY_CODE[code]))]
