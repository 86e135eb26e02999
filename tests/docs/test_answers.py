"""The code of docs/answers.md runs: with the SDK, and with OpenAI's client."""

from typing import Any

import pytest

import vdb.testing
from tests.docs.pages import blocks

REFUNDS = {"id": "refunds", "text": "Refunds take five days. Ask again after a week."}


def test_the_code_of_the_answers_document_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with vdb.testing.server(compile_kernels=False) as server:
        admin = server.admin()
        admin.create_collection(
            "guides", dimension=64, text={"fields": {"text": 1}}, embedding={"model": "lexical", "version": "1"}
        )
        key = str(admin.create_key(tenant="acme", role="write").key)
        names: dict[str, Any] = {"URL": server.url, "ACME_KEY": key, "acme": server.client("acme")}
        names["acme"].collection("guides").put_documents([REFUNDS])
        for code in blocks("docs/answers.md", "python"):
            exec(compile(code, "document", "exec"), names)
    printed = capsys.readouterr().out
    assert "refunds#0" in printed
    assert printed.count("five days") >= 4
    assert "['guides', 'guides/extractive']" in printed
