"""Answers over plain HTTP, with the SDK's method names: bodies and events are what JSON says."""

import json
from http.client import HTTPConnection
from typing import Any

from tests.api.served import events_of
from vdb.errors import BY_CODE, Problem, VdbError


class RawAnswers:
    """Part of `RawCollection`, which has `_client` and `_name`."""

    _client: Any
    _name: str

    def answer(self, question: Any, wait_s: Any = None, **given: Any) -> Any:
        return self._client.ask("answer", (), self._asked(question, given))

    def answer_stream(self, question: Any, **given: Any) -> Any:
        """All events; raises the error that ends them."""
        client = self._client
        headers = {"Authorization": f"Bearer {client._key}", "Content-Type": "application/json"}
        if client._tenant is not None:
            headers["Vdb-Tenant"] = client._tenant
        connection = HTTPConnection("127.0.0.1", client._port, timeout=60)
        try:
            connection.request(
                "POST", "/v1/answer", json.dumps(self._asked(question, given) | {"stream": True}), headers
            )
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise raised(json.loads(raw), answer.status)
        events = events_of(raw)
        if events[-1][0] == "error":
            raise raised(events[-1][1], events[-1][1]["status"])
        return [data for _, data in events]

    def _asked(self, question: Any, given: dict[str, Any]) -> dict[str, Any]:
        fields = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in given.items()}
        return {"collection": self._name, "question": question, **fields}


def raised(found: Any, status: int) -> VdbError:
    """The error that a body stands for, in our shape or OpenAI's."""
    if "error" in found:
        return BY_CODE[found["error"]["code"]](found["error"]["message"])
    problems = tuple(Problem(entry["pointer"], entry["detail"]) for entry in found.get("errors", ()))
    assert found["status"] == status
    return BY_CODE[found["code"]](found["detail"], problems=problems)
