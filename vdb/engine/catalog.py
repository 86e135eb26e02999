"""The catalog in use: its environment, its write queue, and caches of what each request looks up."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from vdb.engine.commit import CommitQueue, Group, QueueCaps
from vdb.engine.names import Names
from vdb.storage import catalog as store
from vdb.storage.catalog import CacheDocument, CollectionDocument, KeyDocument, TenantDocument
from vdb.storage.env import Environment
from vdb.storage.keyspace import Space, name_key
from vdb.tenancy.readthrough import ReadThrough

T = TypeVar("T")


class Catalog:
    """Collections, tenants and keys as committed. Reads are thread-safe; writes go through `write`."""

    def __init__(self, env: Environment, writers: Executor, caps: QueueCaps) -> None:
        self.env = env
        self.queue: CommitQueue[Group] = CommitQueue(env, Group, writers, caps, self._resync)
        self._keys_by_hash: ReadThrough[str, KeyDocument] = ReadThrough(self._load_key)
        self._tenants_by_name: ReadThrough[str, TenantDocument] = ReadThrough(self._load_tenant_by_name)
        self._tenants_by_id: ReadThrough[int, TenantDocument] = ReadThrough(self._load_tenant_by_id)
        stored, _ = self._stored()
        self.unfinished = [document for document in stored if document.state != store.ACTIVE]
        self._names = self._load_names()
        caches = self._stored_caches()
        self.unfinished_caches = [document for document in caches if document.state != store.ACTIVE]
        self._caches = {document.name: document for document in caches if document.state == store.ACTIVE}

    def _resync(self) -> None:
        """After a commit that failed: whether it reached the disk is seen in the store only."""
        for cache in (self._keys_by_hash, self._tenants_by_name, self._tenants_by_id):
            cache.clear()
        self._names = self._load_names()
        stored = self._stored_caches()
        self._caches = {document.name: document for document in stored if document.state == store.ACTIVE}

    def _stored(self) -> tuple[list[CollectionDocument], dict[str, int]]:
        with self.env.read() as txn:
            collections = list(store.iterate_readable(txn, Space.COLLECTION, CollectionDocument))
            return collections, dict(store.iterate_aliases(txn))

    def _load_names(self) -> Names:
        collections, aliases = self._stored()
        return Names((document for document in collections if document.state == store.ACTIVE), aliases)

    def write(self, apply: Callable[[Group], T], n_bytes: int = 1024, frees_space: bool = False) -> T:
        """Run `apply` in the next commit and wait for it. Not for the event loop."""
        result: T = self.queue.submit(apply, n_bytes, frees_space).result()
        return result

    # Collections and aliases: at most a thousand of each, all in RAM. Changes are published by the catalog's writer
    # alone, commit after commit, each in one swap.

    @property
    def names(self) -> Names:
        """Collections and aliases as of one commit."""
        return self._names

    def collection(self, name: str) -> CollectionDocument | None:
        """The active collection of that name or alias."""
        return self._names.find(name)

    def collections(self) -> list[CollectionDocument]:
        """All active collections, by name."""
        return self._names.collections()

    def collection_by_id(self, collection_id: int) -> CollectionDocument | None:
        return self._names.by_id(collection_id)

    def put_collection(self, group: Group, document: CollectionDocument, old: CollectionDocument | None = None) -> None:
        """Store a collection in the running commit, in the place of `old`; others see it once that has returned."""
        store.put_collection(group.txn, document, old)
        if document.state == store.ACTIVE:
            group.after_commit(lambda: self._swap(self._names.with_collection(document)))

    def hide_collection(self, group: Group, document: CollectionDocument) -> None:
        """In the running commit, free the collection's name and remove its aliases: nobody finds it any more."""
        group.txn.delete(name_key(Space.COLLECTION_NAME, document.name))
        for alias in [alias for alias, target in store.iterate_aliases(group.txn) if target == document.id]:
            store.remove_alias(group.txn, alias)
        group.after_commit(lambda: self._swap(self._names.without_collection(document.id)))

    def put_aliases(self, group: Group, changed: Mapping[str, int], removed: Sequence[str]) -> None:
        """Set and remove aliases in the running commit; others see all of it at once."""
        for alias in removed:
            store.remove_alias(group.txn, alias)
        for alias, target in changed.items():
            store.put_alias(group.txn, alias, target)
        group.after_commit(lambda: self._swap(self._names.with_aliases(changed, removed)))

    def _swap(self, names: Names) -> None:
        self._names = names

    # Caches: at most a hundred, all in RAM; the dictionary is never changed, but swapped.

    def _stored_caches(self) -> list[CacheDocument]:
        with self.env.read() as txn:
            return list(store.iterate_readable(txn, Space.CACHE, CacheDocument))

    def cache(self, name: str) -> CacheDocument | None:
        """The active cache of that name."""
        return self._caches.get(name)

    def cache_by_id(self, cache_id: int) -> CacheDocument | None:
        return next((document for document in self._caches.values() if document.id == cache_id), None)

    def caches(self) -> list[CacheDocument]:
        """All active caches, by name."""
        return sorted(self._caches.values(), key=lambda document: document.name)

    def put_cache(self, group: Group, document: CacheDocument) -> None:
        """Store a cache in the running commit; others see it once that has returned."""
        store.put_cache(group.txn, document)
        if document.state == store.ACTIVE:
            group.after_commit(lambda: self._swap_caches({**self._caches, document.name: document}))

    def hide_cache(self, group: Group, document: CacheDocument) -> None:
        """In the running commit, store that the cache goes, and free its name: nobody finds it any more."""
        store.put_cache(group.txn, document)
        store.hide_cache(group.txn, document)
        group.after_commit(lambda: self._swap_caches(
            {name: found for name, found in self._caches.items() if found.id != document.id}
        ))  # fmt: skip

    def _swap_caches(self, caches: dict[str, CacheDocument]) -> None:
        self._caches = caches

    # Tenants and keys: loaded when asked for, nothing kept per idle tenant beyond a bounded cache.

    def tenant(self, name: str) -> TenantDocument | None:
        return self._tenants_by_name.get(name)

    def tenant_by_id(self, tenant_id: int) -> TenantDocument | None:
        return self._tenants_by_id.get(tenant_id)

    def put_tenant(self, group: Group, document: TenantDocument) -> None:
        store.put_tenant(group.txn, document)
        group.after_commit(lambda: self._forget_tenant(document))

    def remove_tenant(self, group: Group, document: TenantDocument) -> None:
        store.remove_tenant(group.txn, document)
        group.after_commit(lambda: self._forget_tenant(document))

    def _forget_tenant(self, document: TenantDocument) -> None:
        self._tenants_by_name.forget(document.name)
        self._tenants_by_id.forget(document.id)

    def key_by_hash(self, digest: str) -> KeyDocument | None:
        return self._keys_by_hash.get(digest)

    def put_key(self, group: Group, document: KeyDocument, old: KeyDocument | None = None) -> None:
        store.put_key(group.txn, document, old)
        self._forget_key(group, document, old)

    def remove_key(self, group: Group, document: KeyDocument) -> None:
        store.remove_key(group.txn, document)
        self._forget_key(group, document)

    def _forget_key(self, group: Group, *documents: KeyDocument | None) -> None:
        digests = {digest for key in documents if key is not None for digest in (key.hash, key.previous_hash)}
        group.after_commit(lambda: self._keys_by_hash.forget(*digests))

    def _load_key(self, digest: str) -> KeyDocument | None:
        with self.env.read() as txn:
            return store.key_by_hash(txn, digest)

    def _load_tenant_by_name(self, name: str) -> TenantDocument | None:
        with self.env.read() as txn:
            return store.tenant_by_name(txn, name)

    def _load_tenant_by_id(self, tenant_id: int) -> TenantDocument | None:
        with self.env.read() as txn:
            return store.tenant_by_id(txn, tenant_id)

    def close(self) -> None:
        self.queue.close()
        self.env.fill_out()
        self.env.close()
