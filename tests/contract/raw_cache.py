"""A semantic cache over plain HTTP, with the SDK's method names; answers are what JSON says."""

from typing import Any


class RawCache:
    """`client` is a `RawClient`."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name

    def _ask(self, name: str, *path: str, **fields: Any) -> Any:
        return self._client.ask(name, (self._name, *path), fields)

    def lookup(self, text: Any, vector: Any = None, **given: Any) -> Any:
        return self._ask("cache_lookup", text=text, vector=vector, **given)

    def store(self, found: Any = None, answer: Any = None, **given: Any) -> Any:
        return self._ask("cache_store", lookup_id=found, answer=answer, **given)

    def feedback(self, found: Any = None, verdict: Any = "wrong", **given: Any) -> Any:
        return self._ask("cache_feedback", lookup_id=found, verdict=verdict, **given)

    def invalidate(self, entry_ids: Any = None, **given: Any) -> Any:
        return self._ask("cache_invalidate", entry_ids=entry_ids, **given)

    def stats(self) -> Any:
        return self._ask("cache_stats")

    def entries(self, category: Any = None, page_size: Any = 256, with_answer: Any = False) -> Any:
        found, cursor = [], None
        while True:
            page = self._ask(
                "scroll_entries", category=category, limit=page_size, cursor=cursor, with_answer=with_answer
            )
            found += page["entries"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    def get_entry(self, entry_id: str) -> Any:
        return self._ask("get_entry", entry_id)

    def policies(self) -> Any:
        return self._ask("list_policies")

    def policy(self, category: str) -> Any:
        return self._ask("get_policy", category)

    def put_policy(self, category: str, **policy: Any) -> Any:
        return self._client.ask("put_policy", (self._name, category), policy, nulls=True)

    def delete_policy(self, category: str) -> Any:
        return self._ask("delete_policy", category)
