"""The fixture `device`. These tests need numpy, numba and pytest, and cupy where there is a GPU: no other package."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.kernels.devices import DEVICES
from vdb.kernels.device import Device

NEED_HYPOTHESIS = ["test_reading_twin.py"]
collect_ignore = [] if find_spec("hypothesis") else NEED_HYPOTHESIS


def pytest_report_header() -> str | None:
    """Says what is left out."""
    return f"hypothesis is not installed: without {', '.join(collect_ignore)}" if collect_ignore else None


@pytest.fixture(params=DEVICES, scope="module")
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Each device in turn; those that this machine lacks are skipped, with the reason."""
    opened: Device = DEVICES[request.param]()
    yield opened
    opened.close()
