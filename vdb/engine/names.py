"""What a name leads to: the active collections and their aliases, as one commit left them, in one value.

Names of collections and aliases are one set, so that a request needs one look-up, whichever it was given.
"""

from collections.abc import Iterable, Mapping
from typing import Self

from vdb.storage.catalog import CollectionDocument


class PinnedName(str):
    """A name as it was given, and the collection that it led to then: for a request that looks it up several times."""

    __slots__ = ("collection_id",)

    def __new__(cls, name: str, collection_id: int) -> Self:
        pinned = super().__new__(cls, name)
        pinned.collection_id = collection_id
        return pinned

    collection_id: int


class Names:
    """Immutable, hence safe for any thread; whoever changes something makes the next value and swaps it in."""

    __slots__ = ("_aliases_of", "_by_id", "_by_name", "aliases")

    def __init__(self, collections: Iterable[CollectionDocument], aliases: Mapping[str, int]) -> None:
        """`aliases` are collection ids by alias; those that lead nowhere are left out."""
        self._by_id = {document.id: document for document in collections}
        self.aliases = {alias: target for alias, target in sorted(aliases.items()) if target in self._by_id}
        self._aliases_of: dict[int, list[str]] = {}
        self._by_name = {document.name: document for document in self._by_id.values()}
        for alias, target in self.aliases.items():
            self._aliases_of.setdefault(target, []).append(alias)
            self._by_name.setdefault(alias, self._by_id[target])

    def find(self, name: str) -> CollectionDocument | None:
        """The collection of that name or alias."""
        if type(name) is PinnedName:
            return self._by_id.get(name.collection_id)
        return self._by_name.get(name)

    def by_id(self, collection_id: int) -> CollectionDocument | None:
        return self._by_id.get(collection_id)

    def collections(self) -> list[CollectionDocument]:
        """All of them, by name."""
        return sorted(self._by_id.values(), key=lambda document: document.name)

    def aliases_of(self, collection_id: int) -> list[str]:
        """The aliases of a collection, in order."""
        return list(self._aliases_of.get(collection_id, ()))

    def with_collection(self, document: CollectionDocument) -> "Names":
        """With a collection that is new, or has changed; its aliases stay."""
        return Names({**self._by_id, document.id: document}.values(), self.aliases)

    def without_collection(self, collection_id: int) -> "Names":
        """Without a collection and its aliases."""
        return Names((found for found in self._by_id.values() if found.id != collection_id), self.aliases)

    def with_aliases(self, changed: Mapping[str, int], removed: Iterable[str]) -> "Names":
        """With some aliases set, and others removed."""
        aliases = {**self.aliases, **changed}
        for alias in removed:
            aliases.pop(alias, None)
        return Names(self._by_id.values(), aliases)
