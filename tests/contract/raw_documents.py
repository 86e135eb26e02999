"""Documents over plain HTTP, with the SDK's method names; answers are what JSON says."""

import base64
from typing import Any


class RawDocuments:
    """Part of `RawCollection`, which has `_ask`, `_client` and `_name`."""

    _client: Any
    _name: str

    def put_documents(
        self, documents: Any, chunk_size: Any = None, chunk_overlap: Any = None, owner: Any = None
    ) -> Any:
        sizes = {"size": chunk_size, "overlap": chunk_overlap}
        chunking = {name: words for name, words in sizes.items() if words is not None}
        bodies = [{name: _jsonable(value) for name, value in document.items()} for document in documents]
        fields = {"documents": bodies, "chunking": chunking or None, "owner": owner}
        return self._client.ask("put_documents", (self._name,), fields)

    def documents(self, prefix: Any = None, page_size: Any = 256) -> Any:
        found, cursor = [], None
        while True:
            query = f"?limit={page_size}" + (f"&cursor={cursor}" if cursor else "")
            query += f"&prefix={prefix}" if prefix else ""
            page = self._client.ask("list_documents", (self._name,), query=query)
            found += page["documents"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    def get_documents(self, ids: Any, **given: Any) -> Any:
        return self._client.ask("get_documents", (self._name,), {"ids": ids, **given})["documents"]

    def delete_documents(self, ids: Any, owner: Any = None) -> Any:
        return self._client.ask("delete_documents", (self._name,), {"ids": ids, "owner": owner})


def _jsonable(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
