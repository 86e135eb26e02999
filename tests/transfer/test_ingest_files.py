"""Files as documents: which of a folder, under which ids, and what is said of those that cannot be read."""

import json
import os
from pathlib import Path

import pytest

from vdb.errors import InvalidArgument
from vdb.transfer import ingest_files
from vdb.transfer.ingest_files import Item, Named, Reader, Skipped, Source, Unread, find_files


def _read(paths: list[str], *patterns: str, prefix: str = "", max_bytes: int = 1000) -> list[Item]:
    reader = Reader({}, prefix, max_bytes)
    items: list[Item] = []
    for file in find_files(paths, patterns):
        items += [file] if isinstance(file, Unread) else reader.read(file)
    return items


def _ids(items: list[Item]) -> list[str]:
    return [item.id for item in items if isinstance(item, Source)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.md", "a.txt", "sub/c.html", "sub/deep/d.md", ".hidden/e.md", ".f.md", "g.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89PNG\0" if name == "g.png" else b"<html>text" if name.endswith("html") else b"# Text")
    return tmp_path / "in"


def test_a_folder_is_read_in_order_without_what_is_hidden(folder: Path) -> None:
    items = _read([str(folder)])
    assert _ids(items) == ["a.txt", "b.md", "sub/c.html", "sub/deep/d.md"]
    assert [item.where for item in items if isinstance(item, Skipped)] == [str(folder / "g.png")]
    first, second, third, _ = (item for item in items if isinstance(item, Source))
    assert [s.fields["media_type"] for s in (first, second, third)] == ["text/plain", "text/markdown", "text/html"]
    assert first.content == b"# Text" and len(first.content_hash) == 64


def test_patterns_choose_by_name_or_by_path(folder: Path) -> None:
    assert _ids(_read([str(folder)], "*.md")) == ["b.md", "sub/deep/d.md"]
    assert _ids(_read([str(folder)], "sub/*.html", "a.*")) == ["a.txt", "sub/c.html"]


def test_files_and_patterns_keep_the_path_as_it_was_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "sub")
    assert _ids(_read(["c.html", "./deep/d.md", "../a.txt"])) == ["c.html", "deep/d.md", "a.txt"]
    assert _ids(_read(["**/*.md", "../.f.md"], prefix="p/")) == ["p/deep/d.md", "p/.f.md"]
    assert _ids(_read([str(folder / "a.txt")])) == [str(folder / "a.txt").lstrip("/")]


def test_a_path_that_leads_nowhere_is_refused(folder: Path) -> None:
    for path in (str(folder / "nothing"), str(folder / "*.pdf")):
        with pytest.raises(InvalidArgument, match="no"):
            _read([path])


def test_links_in_a_circle_are_entered_once(folder: Path) -> None:
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "z.md").symlink_to(folder / "b.md")
    items = _read([str(folder)])
    assert _ids(items) == ["a.txt", "b.md", "z.md", "sub/c.html", "sub/deep/d.md"]
    (lost,) = (item for item in items if isinstance(item, Unread))
    assert (lost.where, lost.id) == (str(folder / "loop"), "loop")


def test_what_is_no_ordinary_file_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe.md")
    os.mkfifo(folder / "pipe.jsonl")
    items = _read([str(folder)])
    assert {item.where for item in items if isinstance(item, Skipped)} >= {str(folder / "pipe.md")}
    assert len(_ids(items)) == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_told(folder: Path) -> None:
    (folder / "b.md").chmod(0)
    (folder / "sub").chmod(0)
    items = _read([str(folder)])
    (folder / "sub").chmod(0o755)
    assert [(i.where, i.id) for i in items if isinstance(i, Unread)] == [
        (str(folder / "b.md"), "b.md"),
        (str(folder / "sub"), None),
    ]


def test_a_large_file_is_told_with_the_limit_and_not_read(folder: Path) -> None:
    (folder / "b.md").write_bytes(b"x" * 1001)
    (large,) = (item for item in _read([str(folder)]) if isinstance(item, Unread))
    assert large.id == "b.md" and large.reason.startswith("it has 1,001 bytes, and a document has up to 1,000")


def test_a_file_of_another_kind_is_a_fault_if_it_was_named(folder: Path) -> None:
    (item,) = _read([str(folder / "g.png")])
    assert isinstance(item, Unread) and "no text, Markdown, HTML or PDF" in item.reason


@pytest.mark.parametrize(("n_changes", "expected"), [(0, b"# Text"), (2, b"# Text 2"), (9, None)])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, n_changes: int, expected: bytes | None
) -> None:
    path, n_calls = folder / "b.md", 0

    def touched(name: str, head: bytes) -> str:
        nonlocal n_calls
        n_calls += 1
        if n_calls <= n_changes:
            path.write_bytes(b"# Text %d" % n_calls)
            os.utime(path, ns=(n_calls, n_calls))
        return "text/markdown"

    monkeypatch.setattr(ingest_files, "media_type_of", touched)
    (item,) = Reader({}, "", 1000).read(Named(path, "b.md", True))
    if expected is None:
        assert isinstance(item, Unread) and "changed while it is read" in item.reason and item.id == "b.md"
    else:
        assert isinstance(item, Source) and item.content == expected


def test_lines_are_documents(tmp_path: Path) -> None:
    lines = [{"_id": "a", "text": "one", "title": "T", "year": 1}, {"contents": "two"}, {"id": "c"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    first, second, third = Reader({"payload": {"lang": "en"}}, "p/", 1000).read(
        Named(tmp_path / "rows.jsonl", "rows.jsonl", True)
    )
    assert isinstance(first, Source) and isinstance(second, Source)
    assert (first.id, first.content) == ("p/a", "one")
    assert first.fields == {"title": "T", "payload": {"year": 1, "lang": "en"}}
    assert (second.id, second.where) == ("p/rows.jsonl#2", f"{tmp_path / 'rows.jsonl'}, line 2")
    assert isinstance(third, Unread) and third.id is None
