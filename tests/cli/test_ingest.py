"""`vdb ingest`: a folder goes in, is brought in step, and bad files are told; with a server and without."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.conftest import Command
from vdb.testing import RunningServer
from vdb.transfer import ingest_files

FILES = {"returns.md": "# Returns\n\nPrint the label.", "deep/refunds.txt": "Wait a week.", "faq.html": "<p>Ask us."}
SERVED = ("--tenant", "acme", "--json", "--quiet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "handbook" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "handbook"


@pytest.fixture
def collection(server: RunningServer, request: pytest.FixtureRequest) -> str:
    return "c-" + str(abs(hash(request.node.name)) % 10**9)


def _counts(document: Any) -> dict[str, int]:
    names = ("created", "updated", "unchanged", "missing", "failed", "skipped", "deleted")
    return {name: document[name] for name in names if document[name]}


def test_a_folder_goes_in_and_is_kept_in_step(
    admin: Command, server: RunningServer, folder: Path, collection: str
) -> None:
    words = ("ingest", str(folder), "--collection", collection, *SERVED)
    assert admin(*words).code == 4
    ran = admin(*words, "--create")
    assert ran.code == 0, ran.err
    assert _counts(ran.document) == {"created": 3} and ran.document["n_files"] == 3
    documents = server.admin().collection(collection, "acme")
    assert [document.id for document in documents.documents()] == ["deep/refunds.txt", "faq.html", "returns.md"]
    assert _counts(admin(*words).document) == {"unchanged": 3}
    (folder / "returns.md").write_text("# Returns\n\nPrint both labels.")
    (folder / "faq.html").unlink()
    (folder / "new.md").write_text("New.")
    dry = admin(*words, "--delete-missing", "--dry-run")
    assert _counts(dry.document) == {"unchanged": 1, "missing": 2, "deleted": 1}
    assert [document.id for document in documents.documents()] == ["deep/refunds.txt", "faq.html", "returns.md"]
    wet = admin(*words, "--delete-missing")
    assert _counts(wet.document) == {"created": 1, "updated": 1, "unchanged": 1, "deleted": 1}
    assert [document.id for document in documents.documents()] == ["deep/refunds.txt", "new.md", "returns.md"]


def test_bad_files_are_told_and_stop_nobody(
    admin: Command, server: RunningServer, folder: Path, collection: str
) -> None:
    (folder / "empty.md").write_text(" \n")
    (folder / "broken.txt").write_bytes(b"\xff\xfe\xff")
    (folder / "huge.txt").write_bytes(b"x" * (33 << 20))
    (folder / "rows.jsonl").write_text('{"id": "r1", "text": "One."}\n{bad\n{"id": "returns.md", "text": "Taken."}\n')
    words = ("ingest", str(folder), "--collection", collection, "--create", "--tenant", "acme")
    ran = admin(*words)
    assert ran.code == 1
    told = [line for line in ran.err.splitlines() if line.startswith("vdb: ")]
    reasons = {line.split(": ")[1].replace(f"{folder}/", ""): line.split(": ", 2)[2] for line in told}
    assert set(reasons) == {"empty.md", "broken.txt", "huge.txt", "rows.jsonl, line 2", "rows.jsonl, line 3"}
    assert "33,554,432 (the server's max_document_bytes)" in reasons["huge.txt"]
    assert reasons["empty.md"].endswith("(unreadable_document)") and "already" in reasons["rows.jsonl, line 3"]
    found = [document.id for document in server.admin().collection(collection, "acme").documents()]
    assert found == ["deep/refunds.txt", "faq.html", "r1", "returns.md"]
    kept = admin(*words, "--delete-missing", "--json")
    assert kept.code == 1 and "nothing was deleted" in kept.err  # a line could not be read: what it was nobody knows


def test_a_folder_that_is_empty_deletes_nothing(
    admin: Command, server: RunningServer, folder: Path, collection: str, tmp_path: Path
) -> None:
    admin("ingest", str(folder), "--collection", collection, "--create", *SERVED)
    (tmp_path / "empty").mkdir()
    ran = admin("ingest", str(tmp_path / "empty"), "--collection", collection, "--delete-missing", *SERVED)
    assert ran.code == 1 and "nothing was deleted" in ran.err
    assert len(list(server.admin().collection(collection, "acme").documents())) == 3


def test_only_what_has_the_prefix_is_deleted(
    admin: Command, server: RunningServer, folder: Path, collection: str
) -> None:
    words = ("ingest", str(folder), "--collection", collection, *SERVED)
    admin(*words, "--create", "--id-prefix", "one/")
    admin(*words, "--id-prefix", "two/", "--payload", '{"lang": "en"}')
    (folder / "faq.html").unlink()
    assert _counts(admin(*words, "--id-prefix", "two/", "--delete-missing").document)["deleted"] == 1
    found = [document.id for document in server.admin().collection(collection, "acme").documents()]
    assert [name for name in found if name.endswith("faq.html")] == ["one/faq.html"] and len(found) == 5


def test_lines_come_from_standard_input(admin: Command, collection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b"".join(json.dumps({"_id": f"d{i}", "text": f"Text {i}."}).encode() + b"\n" for i in range(300))
    monkeypatch.setattr(ingest_files, "sys", SimpleNamespace(stdin=io.TextIOWrapper(io.BytesIO(lines))))
    ran = admin("ingest", "-", "--collection", collection, "--create", "--embedding", "none", *SERVED)
    assert ran.code == 0 and ran.document["created"] == 300 and ran.document["n_embedded"] == 0


def test_a_directory_that_no_server_uses_takes_documents(command: Command, folder: Path, tmp_path: Path) -> None:
    words = ("ingest", str(folder), "--collection", "guides", "--data-dir", str(tmp_path / "data"), *SERVED)
    assert _counts(command(*words, "--create").document) == {"created": 3}
    assert _counts(command(*words).document) == {"unchanged": 3}


@pytest.mark.parametrize(
    "words", [("--payload", "[1]"), ("--embedding", "lexical"), ("--concurrency", "17"), ("--chunk-size", "x")]
)
def test_wrong_options_are_told(admin: Command, folder: Path, words: tuple[str, ...]) -> None:
    assert admin("ingest", str(folder), "--collection", "guides", *words).code == 2


def test_real_files_of_every_format_go_in_and_are_found(admin: Command, server: RunningServer, collection: str) -> None:
    folder = Path(__file__).parents[1] / "rag" / "documents"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    ran = admin("ingest", str(folder), "--collection", collection, "--create", *SERVED)
    assert ran.code == 1
    (locked,) = ran.document["refused"]
    assert "it needs a password" in locked["reason"]
    files.remove(Path(locked["where"]).name)
    documents = server.admin().collection(collection, "acme")
    found = list(documents.documents())
    assert {document.id for document in found} == files and ran.document["created"] == len(files)
    assert {document.media_type for document in found} >= {"text/markdown", "text/html", "application/pdf"}
    for document in (document for document in found if document.media_type == "text/markdown"):
        source = (folder / document.id).read_bytes().decode()  # as it lies there, line ends too
        (whole,) = documents.get_documents([document.id], with_chunks=True)
        chunks: Any = whole.chunks
        assert all(source[chunk.start : chunk.end] == chunk.text for chunk in chunks)
        longest = max(chunks, key=lambda chunk: len(chunk.text))
        hits = documents.search(text=longest.text[:200], limit=3)
        assert longest.id in [hit.id for hit in hits]


def test_a_path_that_leads_nowhere_is_refused(admin: Command, tmp_path: Path) -> None:
    ran = admin("ingest", str(tmp_path / "nothing"), "--collection", "guides", "--tenant", "acme")
    assert ran.code == 1 and "no such file or folder" in ran.err
