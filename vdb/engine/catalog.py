"""The catalog in use: its environment, its write queue, and caches of what each request looks up."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from vdb.engine.commit import CommitQueue, Group, QueueCaps
from vdb.storage import catalog as store
from vdb.storage.catalog import CollectionDocument, KeyDocument, TenantDocument
from vdb.storage.env import Environment
from vdb.storage.keyspace import Space
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
        self.unfinished = [document for document in self._stored_collections() if document.state != store.ACTIVE]
        self._collections = self._load_collections()

    def _resync(self) -> None:
        """After a commit that failed: whether it reached the disk is seen in the store only."""
        for cache in (self._keys_by_hash, self._tenants_by_name, self._tenants_by_id):
            cache.clear()
        self._collections = self._load_collections()

    def _stored_collections(self) -> list[CollectionDocument]:
        with self.env.read() as txn:
            return list(store.iterate_readable(txn, Space.COLLECTION, CollectionDocument))

    def _load_collections(self) -> dict[str, CollectionDocument]:
        return {document.name: document for document in self._stored_collections() if document.state == store.ACTIVE}

    def write(self, apply: Callable[[Group], T], n_bytes: int = 1024, frees_space: bool = False) -> T:
        """Run `apply` in the next commit and wait for it. Not for the event loop."""
        result: T = self.queue.submit(apply, n_bytes, frees_space).result()
        return result

    # Collections: at most a thousand, all in RAM.

    def collection(self, name: str) -> CollectionDocument | None:
        return self._collections.get(name)

    def collections(self) -> list[CollectionDocument]:
        """All active collections, by name."""
        return [self._collections[name] for name in sorted(self._collections)]

    def collection_by_id(self, collection_id: int) -> CollectionDocument | None:
        return next((document for document in self._collections.values() if document.id == collection_id), None)

    def put_collection(self, group: Group, document: CollectionDocument) -> None:
        """Store a collection in the running commit; other requests see it once that has returned."""
        store.put_collection(group.txn, document)
        if document.state == store.ACTIVE:
            group.after_commit(lambda: self._show(document))

    def _show(self, document: CollectionDocument) -> None:
        self._collections = {**self._collections, document.name: document}

    def hide_collection(self, name: str) -> None:
        """The collection is not to be found any more."""
        self._collections = {known: document for known, document in self._collections.items() if known != name}

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
        self.env.close()
