"""What every test may use: the `rng` fixture and the Hypothesis profiles.

Profiles: `ci` (default: few examples, the same on every run) and `full`, chosen by VDB_TEST_PROFILE.
"""

import os
import zlib
from importlib.util import find_spec

import numpy as np
import pytest

if find_spec("hypothesis"):  # on a machine with a GPU the tests of kernels run with few packages
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "ci", max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.register_profile("full", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile(os.environ.get("VDB_TEST_PROFILE", "ci"))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers of this test's own, seeded by its name: the same on every run, machine and worker."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))
