"""The client for VectorDBBench against a server, called as that harness calls it; its registration; made-up data."""

import importlib
import pickle
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vdb.testing
from tests.bench.harness_bases import DB, FilterOp, MetricType, PayloadProfile, install_vectordbbench
from vdb.errors import InvalidArgument

N_ROWS, DIMENSION, K = 600, 8, 5


class IndexType(Enum):
    FTS = "FTS"
    NONE = "NONE"


@pytest.fixture(scope="module")
def server() -> Iterator[vdb.testing.RunningServer]:
    with vdb.testing.server(index_from_points=300) as running:
        yield running


@pytest.fixture
def rows(rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.normal(size=(N_ROWS, DIMENSION)).astype(np.float32)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    install_vectordbbench(monkeypatch)
    config = importlib.import_module("bench.vectordbbench.client.config")
    client = importlib.import_module("bench.vectordbbench.client.vdb")
    return SimpleNamespace(config=config, client=client)


def made(harness: SimpleNamespace, server: vdb.testing.RunningServer, case: Any, name: str, **more: Any) -> Any:
    """A client as the harness makes it, after it travelled to another process."""
    config = harness.config.VdbConfig(url=server.url, api_key=server.admin_key).to_dict()
    config.pop("collection_name")
    return pickle.loads(pickle.dumps(harness.client.Vdb(DIMENSION, config, case, name, True, **more)))


def true_rows(rows: NDArray[np.float32], query: NDArray[np.float32], allowed: NDArray[np.integer[Any]]) -> list[int]:
    far = ((rows[allowed] - query) ** 2).sum(axis=1)
    return [int(row) for row in allowed[np.argsort(far, kind="stable")[:K]]]


def test_filters_choose_by_number_and_label(
    harness: SimpleNamespace, server: vdb.testing.RunningServer, rows: NDArray[np.float32]
) -> None:
    case = harness.config.VdbCaseConfig(metric_type=MetricType.L2, exact=True)
    client = made(harness, server, case, "filtered", with_scalar_labels=True)
    labels = ["label_1p" if row % 4 == 0 else "others" for row in range(N_ROWS)]
    everything = np.arange(N_ROWS)
    with client.init():
        for first in range(0, N_ROWS, 200):
            part = slice(first, first + 200)
            batch = client.insert_embeddings(rows[part].tolist(), everything[part].tolist(), labels_data=labels[part])
            assert batch == (200, None)
        client.optimize(N_ROWS)
        assert client.poll_insert_readiness(N_ROWS)["fully_indexed"]
        for filters, allowed in (
            (SimpleNamespace(type=FilterOp.NonFilter), everything),
            (SimpleNamespace(type=FilterOp.NumGE, int_value=500), everything[500:]),
            (SimpleNamespace(type=FilterOp.StrEqual, label_value="label_1p"), everything[::4]),
        ):
            client.prepare_filter(filters)
            for profile in (PayloadProfile.IDS_ONLY, PayloadProfile.VECTOR, PayloadProfile.SCALAR_LABEL):
                found = client.search_embedding(rows[3].tolist(), K, payload_profile=profile)
                assert found == true_rows(rows, rows[3], allowed)
        with pytest.raises(ValueError, match="no such filter"):
            client.prepare_filter(SimpleNamespace(type="other"))


def test_a_label_of_the_multitenant_case_is_a_tenant(
    harness: SimpleNamespace, server: vdb.testing.RunningServer, rows: NDArray[np.float32]
) -> None:
    tenants = [f"tenant_{number:04d}" for number in range(6)]
    case = harness.config.VdbCaseConfig(metric_type=MetricType.L2, recall=0.99)
    client = made(harness, server, case, "routed", multitenant_tenant_labels=tenants)
    assert client.supports_multitenant()
    assert client.multitenant_tenant_labels == tenants
    everything = np.arange(N_ROWS)
    labels = [tenants[row % 6] for row in range(N_ROWS)]
    with client.init():
        written = client.insert_embeddings(rows.tolist(), everything.tolist(), tenant_labels_data=labels)
        assert written == (N_ROWS, None)
        client.optimize(N_ROWS)
        for number, tenant in enumerate(tenants):
            found = client.search_embedding(rows[9].tolist(), K, tenant=tenant)
            assert found == true_rows(rows, rows[9], everything[number::6])
        assert client.search_embedding(rows[9].tolist(), K) == []
    with server.admin() as admin:
        assert {member.tenant for member in admin.members("routed")} == set(tenants)


def test_what_fails_is_told_with_what_was_written(
    harness: SimpleNamespace, server: vdb.testing.RunningServer, rows: NDArray[np.float32]
) -> None:
    client = made(harness, server, None, "refused")
    with client.init():
        count, error = client.insert_embeddings(
            rows[:3].tolist(), [0, 1, 2], tenant_labels_data=["good", "Not A Name", "good"]
        )
    assert count == 2
    assert isinstance(error, InvalidArgument)


def test_texts_are_ranked_by_their_words(harness: SimpleNamespace, server: vdb.testing.RunningServer) -> None:
    client = made(harness, server, harness.config.VdbTextConfig(bm25_k1=1.2), "texts")
    texts = ["a red apple", "a green apple and a pear", "nothing of the kind"]
    with client.init():
        assert client.supports_full_text_search() and client.has_text_field()
        assert client.insert_documents(texts, ["a", "b", "c"], filter_ids=[1, 2, 3]) == (3, None)
        client.optimize(3)
        assert client.search_documents("red apple", 2) == ["a", "b"]
        client.prepare_filter(SimpleNamespace(type=FilterOp.NumGE, int_value=2))
        assert client.search_documents("red apple", 2, payload_profile=PayloadProfile.TEXT) == ["b"]


def test_a_collection_is_kept_unless_it_is_to_be_dropped(
    harness: SimpleNamespace, server: vdb.testing.RunningServer, rows: NDArray[np.float32]
) -> None:
    config = harness.config.VdbConfig(url=server.url, api_key=server.admin_key).to_dict()
    for drop_old, expected in ((True, 10), (False, 20), (True, 10)):
        client = harness.client.Vdb(DIMENSION, config, None, "kept", drop_old)
        first = 0 if expected == 10 else 10
        with client.init():
            client.insert_embeddings(rows[:10].tolist(), list(range(first, first + 10)))
        with server.admin() as admin:
            assert admin.collection_stats("kept").points == expected


def test_metrics_of_other_vectors_are_refused(harness: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="HAMMING"):
        harness.config.VdbCaseConfig(metric_type=MetricType.HAMMING).index_param()
    assert harness.config.VdbCaseConfig().index_param()["metric"] == "cosine"
    assert harness.config.VdbCaseConfig(budget=9).search_param() == {"budget": 9}


def test_the_registration_adds_one_database_and_changes_no_other(
    harness: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    registration = importlib.import_module("bench.vectordbbench.registration")
    member = registration.register()
    assert registration.register() is member
    assert DB("Vdb") is member is pickle.loads(pickle.dumps(member))
    assert [one.name for one in DB] == ["One", "Another", "Vdb"]
    assert member.init_cls is harness.client.Vdb
    assert member.config_cls is harness.config.VdbConfig
    assert member.case_config_cls(IndexType.NONE) is harness.config.VdbCaseConfig
    assert member.case_config_cls(IndexType.FTS) is harness.config.VdbTextConfig
    assert DB.One.init_cls == "client of One"
    assert DB.Another.case_config_cls() == "case of another"


def test_made_up_data_has_the_true_neighbours(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from bench.vectordbbench import made_up

    made_up.write(tmp_path, n_rows=300, n_queries=4, dimension=6, declared=5_000, seed=1)
    rows = np.stack(parquet.read_table(tmp_path / "train.parquet")["emb"].to_numpy())
    queries = np.stack(parquet.read_table(tmp_path / "test.parquet")["emb"].to_numpy())
    labels = np.array(parquet.read_table(tmp_path / "scalar_labels.parquet")["labels"].to_pylist())
    for name, allowed in (
        ("neighbors", np.arange(300)),
        ("neighbors_int_1p", np.arange(50, 300)),
        ("neighbors_labels_label_20p", np.flatnonzero(labels == "label_20p")),
    ):
        told = parquet.read_table(tmp_path / f"{name}.parquet")["neighbors_id"].to_pylist()
        for query, nearest in zip(queries, told, strict=True):
            order = allowed[np.argsort(-(rows[allowed] @ query), kind="stable")]
            assert nearest == order[: min(100, len(allowed))].tolist()
