"""`make demo` runs, proves what it says, and carries its sample with its licence."""

import numpy as np
import pytest

from bench.demo import main
from bench.demo.sample import DATA, load

MAX_SAMPLE_BYTES = 1_500_000


def test_the_demo_proves_that_tenants_stay_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    shown = capsys.readouterr().out
    assert "NOT PROVED" not in shown
    for name, other in (("northbank", "skylark"), ("skylark", "northbank")):
        assert f"     {name:<10} get by 240 ids of {other}: 0 found; by 120 of house: all found" in shown
    assert "data removed" in shown


def test_the_sample_is_small_real_and_attributed() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) < MAX_SAMPLE_BYTES
    licence = (DATA / "LICENSE.md").read_text(encoding="utf-8")
    assert "CC BY 3.0" in licence and "Larson" in licence
    for sentences in load().values():
        assert np.allclose(np.linalg.norm(sentences.vectors, axis=1), 1, atol=1e-2)
        assert len({payload["text"] for payload in sentences.payloads}) == len(sentences)
