"""No generated request gets an answer of 500 or more, or one that the OpenAPI document does not describe."""

import pytest

import vdb.testing
from bench.fuzz.requests import CALLERS, Fuzz
from vdb.protocol.operations import OPERATIONS

N_EXAMPLES = 5


@pytest.mark.parametrize("caller", CALLERS)
def test_generated_requests_are_answered_as_documented(caller: str) -> None:
    with vdb.testing.server(compile_kernels=False) as server:
        fuzz = Fuzz(server, N_EXAMPLES)
        for name in fuzz.operations:
            fuzz.run(name, caller)
        assert fuzz.faults == []
        assert server.client("acme").limits()  # it still serves
    assert {operation.name for operation in OPERATIONS} <= set(fuzz.operations)
    assert fuzz.n_answers > len(OPERATIONS) * N_EXAMPLES
    assert (fuzz.n_server_errors, fuzz.n_undescribed) == (0, 0)
    assert fuzz.statuses[200] > 0
