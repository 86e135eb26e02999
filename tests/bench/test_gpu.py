"""Every part of `bench gpu` runs in small on plain arrays; what it is told of devices decides how it ends."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

import bench.gpu
from bench.gpu import PARTS, main
from bench.gpu.engine import NEEDED, missing
from bench.gpu.machine import Machine
from bench.record import ROOT
from vdb.kernels.device import Block, DeviceFailed, DeviceLost
from vdb.kernels.numpy_device import NumpyDevice
from vdb.kernels.reference import Float32s, Int64s

KERNELS = [part for part in PARTS if part != "engine"]
QUICK = ["--device", "numpy", "--quick", "--repeats", "1", "--only"]
FIGURES = {
    "ceilings": "copies in device memory, read and written",
    "equality": "equality: readings, queries with other rows",
    "exact": "exact: of the matrix rate",
    "scan": "scan, int4, scattered: of the copy bandwidth",
    "kmeans": "k-means: numbers that differ a second time",
    "projection": "projection: of the host link",
    "engine": "engine: requests of many, device / CPU",
}
ONLY = """
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

class Only:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        is_there = top in {"bench", "vdb", "numpy", "numba", "llvmlite"} or top in sys.stdlib_module_names
        return PathFinder.find_spec(name, path, target) if is_there else None

sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Only()]
from bench.gpu import main
"""
"""As where nothing but NumPy and numba is installed."""


def _run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ONLY + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def _opening(device: NumpyDevice, *, is_accelerator: bool = False) -> object:
    @contextmanager
    def opened(name: str, is_quick: bool, seed: int, repeats: int) -> Iterator[Machine]:
        yield Machine(device, is_accelerator, True, seed, repeats)

    return opened


class _Shifted(NumpyDevice):
    """A device whose exact search names the row after the one that it found."""

    def nearest(
        self, queries: NDArray[np.float16], vectors: Block, norms: Block | None, visible: Block | None, metric: int,
        k: int,
    ) -> tuple[Float32s, Int64s]:  # fmt: skip
        distance, row = super().nearest(queries, vectors, norms, visible, metric, k)
        return distance + np.float32(0.5), row + 1


class _Lost(NumpyDevice):
    """A device that is gone when it is asked."""

    def project(self, rows: Block, matrix: Float32s) -> Float32s:
        raise DeviceLost("unplugged")


def test_every_part_has_a_figure_named_here() -> None:
    assert set(FIGURES) == set(PARTS)


def test_the_parts_of_kernels_run_with_numpy_and_numba_alone_and_write_no_row(tmp_path: Path) -> None:
    options = [*QUICK[:-1], "--results", str(tmp_path), "--only"]
    done = _run(f"for part in {KERNELS}:\n    assert main({options} + [part]) == 0, part\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [part for part in KERNELS if FIGURES[part] not in done.stdout] == []
    assert list(tmp_path.iterdir()) == []


def test_the_engine_runs_in_small_on_plain_arrays(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "engine"]) == 0
    assert FIGURES["engine"] in capsys.readouterr().out


def test_parts_run_one_after_the_other_and_end_with_the_bars(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "ceilings", "projection"]) == 0
    out = capfd.readouterr().out
    assert out.index("== ceilings") < out.index("== projection") < out.index("== in short")
    assert out.rstrip().endswith("1 bars, 0 missed")


def test_floors_are_printed_before_figures(capsys: pytest.CaptureFixture[str]) -> None:
    main([*QUICK, "exact"])
    out = capsys.readouterr().out
    assert out.index("16-bit operations; at least") < out.index("exact: a batch")


def test_the_engine_is_left_out_where_its_packages_are_missing() -> None:
    done = _run(f"raise SystemExit(main({QUICK} + ['engine']))")
    assert done.returncode == 0, done.stderr
    assert f"left out: an engine needs {', '.join(NEEDED)}" in done.stdout


def test_nothing_that_an_engine_needs_is_missing_here() -> None:
    assert missing() == []


def test_without_a_gpu_it_says_why_and_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def opened(*_: object) -> NoReturn:
        raise DeviceFailed("there is no device of CUDA")

    monkeypatch.setattr(bench.gpu, "opened", opened)
    assert main(["--only", "exact", "--results", str(tmp_path)]) == 2
    assert "there is no device of CUDA" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_plain_arrays_are_refused_where_times_would_be_believed() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--device", "numpy"])
    assert ended.value.code == 2


def test_a_row_names_the_accelerator_and_what_was_compared_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench.gpu, "opened", _opening(NumpyDevice(name="An accelerator"), is_accelerator=True))
    main(["--only", "projection", "--repeats", "1", "--results", str(tmp_path)])
    (row,) = json.loads((tmp_path / "gpu.json").read_text())
    assert row["machine"]["accelerator"]["name"] == "An accelerator"
    assert {"cupy-cuda13x", "torch", "faiss-cpu"} <= row["versions"].keys()
    assert row["command"].startswith("python -m bench gpu --only projection")


def test_a_device_that_answers_wrongly_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.gpu, "opened", _opening(_Shifted()))
    assert main([*QUICK, "exact"]) == 1


def test_what_was_measured_before_a_failure_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Lost(NumpyDevice):
        def assign(self, rows: Block, centroids: Float32s) -> NoReturn:
            raise DeviceLost("unplugged")

    monkeypatch.setattr(bench.gpu, "opened", _opening(Lost(name="An accelerator"), is_accelerator=True))
    assert main(["--only", "equality", "--repeats", "1", "--results", str(tmp_path)]) == 1
    (row,) = json.loads((tmp_path / "gpu.json").read_text())
    assert row["figures"].keys() == {"equality: exact search, queries with other rows"}
    assert "unplugged" in row["machine"]["accelerator"]["failure"]


def test_a_device_that_is_lost_fails_its_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.gpu, "opened", _opening(_Lost()))
    assert main([*QUICK, "projection"]) == 1
    assert "DeviceLost: unplugged" in capsys.readouterr().err
