"""Names that compiled kernels are cached under."""

import shutil
from pathlib import Path

import pytest

from vdb.kernels.cpu import compiling


def test_any_edit_of_a_kernel_changes_the_name_that_all_are_cached_under(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "kernels"
    shutil.copytree(Path(compiling.__file__).parent.parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compiling, "__file__", str(copied / "cpu" / "compiling.py"))
    assert compiling._sum_of_sources() == compiling.SOURCES
    part = copied / "cpu" / "estimates.py"
    part.write_text(part.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert compiling._sum_of_sources() != compiling.SOURCES
