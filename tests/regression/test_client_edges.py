"""What left the SDK as a foreign error, hung, or mixed up two processes' answers."""

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

import vdb
import vdb.testing
from tests.client.scripted import Reply, problem, serving
from vdb.client import AsyncClient, Client
from vdb.errors import InvalidArgument, TransportError, Unavailable
from vdb.local import Database


def test_a_forked_process_does_not_share_connections() -> None:
    with serving(Reply(body={"limits": {}})) as script, Client(script.url, "key") as client:
        client.limits()
        child = os.fork()
        if child == 0:
            client.limits()
            os._exit(0)
        os.waitpid(child, 0)
        client.limits()
        first, forked, last = (asked.port for asked in script.asked)
        assert first == last != forked


def test_a_retry_after_beyond_all_dates_is_left_aside() -> None:
    refused = problem(503, "unavailable", retry_after="Mon, 01 Jan 2020 00:00:00 +99999999999")
    with serving(refused) as script, Client(script.url, "key", n_retries=0) as client, pytest.raises(Unavailable):
        client.limits()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = vdb.open(tmp_path / "data", tenant="acme")
    database.create_tenant("acme")
    database.create_collection("notes", 2)
    return database


def test_arrays_without_dimensions_are_invalid_arguments(database: Database) -> None:
    with database:
        notes = database.collection("notes")
        with pytest.raises(InvalidArgument):
            notes.search([[1, 2], np.array(3.0)])  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument):
            notes.get(np.array("a"))  # type: ignore[arg-type]


def test_a_column_may_be_an_array(database: Database) -> None:
    with database:
        notes = database.collection("notes")
        notes.upsert(["a", "b"], np.ones((2, 2)), if_absent=np.array([True, False]))  # type: ignore[arg-type]
        assert notes.count() == 2


def test_a_closed_database_says_so_and_closes_again(database: Database) -> None:
    notes = database.collection("notes")
    database.close()
    with pytest.raises(TransportError, match="closed"):
        notes.count()
    with pytest.raises(TransportError, match="closed"):
        notes.upsert(["a"], [[1, 2]])
    database.close()


def test_a_database_is_refused_in_a_fork(database: Database) -> None:
    with database:
        notes = database.collection("notes")
        child = os.fork()
        if child == 0:
            try:
                notes.upsert(["a"], [[1, 2]])
            except TransportError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        notes.upsert(["a"], [[1, 2]])


def test_an_async_client_is_refused_in_a_second_loop() -> None:
    with serving(Reply(body={"limits": {}})) as script:
        client = AsyncClient(script.url, "key")

        async def use_then_leave_open() -> None:
            await client.limits()

        asyncio.run(use_then_leave_open())
        with pytest.raises(TransportError, match="event loop"):
            asyncio.run(client.limits())


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan"), None, "1"])
def test_a_timeout_that_no_socket_takes_is_refused(timeout_s: float) -> None:
    with pytest.raises(InvalidArgument, match="timeout_s"):
        Client("http://127.0.0.1:1", "key", timeout_s=timeout_s)


def test_a_wait_that_no_socket_takes_is_shortened() -> None:
    with serving(Reply(body={"count": 1, "sequence": 9})) as script, Client(script.url, "key") as client:
        assert client.collection("docs").count(min_sequence=1, timeout_s=1e300) == 1


def test_a_host_that_no_request_can_name_is_refused() -> None:
    for host in ("\u00e9", "x y"):
        with pytest.raises(InvalidArgument, match="host"):
            Client(f"http://{host}/", "key")


def test_a_host_that_dns_cannot_carry_is_a_transport_error() -> None:
    async def use() -> None:
        async with AsyncClient("http://a..b", "key", n_retries=0) as client:
            await client.limits()

    with pytest.raises(TransportError):
        asyncio.run(use())


def test_a_misspelt_setting_of_a_test_server_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="memory_byte"), vdb.testing.server(memory_byte=1):
        pass


def test_an_impossible_path_or_setting_is_an_invalid_argument(tmp_path: Path) -> None:
    for path in ("a\0b", 5):
        with pytest.raises(InvalidArgument):
            vdb.open(path)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="memory_bytes"):
        vdb.open(tmp_path / "data", memory_bytes="much")
