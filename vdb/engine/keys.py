"""API keys: who is asking, and making, listing, rotating and deleting keys."""

from msgspec.structs import replace

from vdb.engine.batch import epoch_ms_of
from vdb.engine.commit import Group
from vdb.engine.listing import page_of
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.engine.tenants import check_name, make_tenant, moment_of
from vdb.errors import Forbidden, InvalidArgument, InvalidCursor, KeyNotFound, Unauthenticated
from vdb.protocol import answers
from vdb.protocol.requests import CreateKey, ListPage, RotateKey
from vdb.storage import catalog as store
from vdb.storage.catalog import ACTIVE, KeyDocument
from vdb.storage.keyspace import Space
from vdb.tenancy.keys import check_key, check_secret, digest_of, new_key_id, new_secret
from vdb.types import NAME, Caller, Role

ENVIRONMENT_KEY_ID = "key-environment"
MAX_KEY_NAME = 200
MAX_GRACE_S = 30 * 86_400.0


def authenticate(services: Services, token: str | None, tenant: str | None) -> Caller:
    """Who a secret belongs to; `tenant` is the tenant a service or admin key acts for.

    Raises Unauthenticated, KeyExpired, Forbidden (a bound key that names another tenant), InvalidArgument.
    """
    if not token:
        raise Unauthenticated("send a key: Authorization: Bearer <key>")
    digest = digest_of(token, services.secret)
    now_ms = epoch_ms()
    key = check_key(services.catalog.key_by_hash(digest), digest, now_ms)
    services.last_used_ms[key.id] = now_ms
    if key.tenant_id is not None:
        return _bound_caller(services, key, tenant)
    if tenant is None:
        return Caller(key.id, key.role, key_name=key.name)
    return Caller(key.id, key.role, check_name(tenant, ""), services.tenant_id(tenant), key.name)


def _bound_caller(services: Services, key: KeyDocument, tenant: str | None) -> Caller:
    document = services.catalog.tenant_by_id(key.tenant_id or 0)
    if document is None or document.state != ACTIVE:
        raise Unauthenticated("the key is not known")
    if tenant is not None and tenant != document.name:
        raise Forbidden("this key is bound to another tenant")
    return Caller(key.id, key.role, document.name, document.id, key.name)


def create_key(services: Services, caller: Caller, path: tuple[str, ...], request: CreateKey) -> answers.Key:
    """Make a key; the answer is the only place its secret is ever shown."""
    is_bound = request.role in (Role.READ, Role.WRITE)
    if is_bound != (request.tenant is not None):
        raise InvalidArgument.at("/tenant", "read and write keys name a tenant; admin and service keys do not")
    if request.tenant is not None:
        check_name(request.tenant, "/tenant")
    if len(request.name) > MAX_KEY_NAME:
        raise InvalidArgument.at("/name", f"a key's name has up to {MAX_KEY_NAME} characters")
    expires_at_ms = epoch_ms_of(request.expires_at, "/expires_at") if request.expires_at is not None else 0
    secret = new_secret()

    def apply(group: Group) -> KeyDocument:
        tenant_id = make_tenant(services, group, request.tenant).id if request.tenant is not None else None
        document = KeyDocument(
            id=new_key_id(),
            name=request.name,
            role=request.role,
            tenant_id=tenant_id,
            hash=digest_of(secret, services.secret),
            created_at_ms=epoch_ms(),
            expires_at_ms=expires_at_ms,
        )
        services.catalog.put_key(group, document)
        return document

    return _answer(services, services.catalog.write(apply), secret)


def get_key(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> answers.Key:
    with services.catalog.env.read() as txn:
        document = store.key_by_id(txn, _key_id(path[0]))
    if document is None:
        raise KeyNotFound("no such key")
    return _answer(services, document)


def list_keys(services: Services, caller: Caller, path: tuple[str, ...], request: ListPage) -> answers.Keys:
    """Keys by id, without their secrets."""
    after = request.cursor or ""
    if after and not _is_key_id(after):
        raise InvalidCursor.at("/cursor", "not a cursor of this listing")
    with services.catalog.env.read() as txn:
        documents = store.iterate_documents(txn, Space.KEY, KeyDocument, after.encode())
        page, cursor = page_of(documents, request, services.settings.limits, lambda document: document.id)
    return answers.Keys(keys=[_answer(services, document) for document in page], next_cursor=cursor)


def rotate_key(services: Services, caller: Caller, path: tuple[str, ...], request: RotateKey) -> answers.Key:
    """A new secret; the old one goes on for `grace_s` seconds."""
    if not 0 <= request.grace_s <= MAX_GRACE_S:
        raise InvalidArgument.at("/grace_s", f"grace_s is 0 to {MAX_GRACE_S:.0f}")
    secret = new_secret()
    until_ms = epoch_ms() + int(request.grace_s * 1000)

    def apply(group: Group) -> KeyDocument:
        old = store.key_by_id(group.txn, _key_id(path[0]))
        if old is None or old.id == ENVIRONMENT_KEY_ID:
            raise KeyNotFound("no such key")
        document = replace(
            old,
            hash=digest_of(secret, services.secret),
            previous_hash=old.hash if request.grace_s else "",
            previous_until_ms=until_ms if request.grace_s else 0,
        )
        services.catalog.put_key(group, document, old)
        return document

    return _answer(services, services.catalog.write(apply), secret)


def delete_key(services: Services, caller: Caller, path: tuple[str, ...], request: object) -> answers.Done:
    """The key stops working before the answer is sent."""

    def apply(group: Group) -> None:
        document = store.key_by_id(group.txn, _key_id(path[0]))
        if document is None:
            raise KeyNotFound("no such key")
        services.catalog.remove_key(group, document)

    services.catalog.write(apply, frees_space=True)
    services.last_used_ms.pop(path[0], None)
    return answers.Done()


def ensure_admin_key(services: Services) -> str | None:
    """At start: accept the configured admin key, or make the first one; returns a secret that was made now.

    The configured key may use the disk's reserve: on a full disk somebody must be able to come in and delete.
    """
    configured, stored = services.settings.admin_key, _environment_key(services)
    if configured:
        check_secret(configured)
        if stored is None or stored.hash != digest_of(configured, services.secret):
            services.catalog.write(lambda group: _put_environment_key(services, group, configured), frees_space=True)
        return None
    if stored is not None:
        services.catalog.write(lambda group: _drop_environment_key(services, group), frees_space=True)
    with services.catalog.env.read() as txn:
        keys = store.iterate_readable(txn, Space.KEY, KeyDocument)
        if any(key.role is Role.ADMIN and not 0 < key.expires_at_ms <= epoch_ms() for key in keys):
            return None
    request = CreateKey(role=Role.ADMIN, name="first admin key")
    answer = create_key(services, Caller("", Role.ADMIN), (), request)
    return str(answer.key)


def _environment_key(services: Services) -> KeyDocument | None:
    with services.catalog.env.read() as txn:
        return store.key_by_id(txn, ENVIRONMENT_KEY_ID)


def _put_environment_key(services: Services, group: Group, secret: str) -> None:
    old = store.key_by_id(group.txn, ENVIRONMENT_KEY_ID)
    digest = digest_of(secret, services.secret)
    known = store.key_by_hash(group.txn, digest)
    if known is not None and known.id == ENVIRONMENT_KEY_ID:
        return
    if known is not None:
        # A secret leads to one key only, and has one already.
        if known.role is not Role.ADMIN or known.hash != digest or known.expires_at_ms:
            raise InvalidArgument("the configured admin key is the secret of a key that is not a lasting admin key")
        _drop_environment_key(services, group)
        return
    document = KeyDocument(
        id=ENVIRONMENT_KEY_ID,
        name="VDB_ADMIN_KEY",
        role=Role.ADMIN,
        tenant_id=None,
        hash=digest,
        created_at_ms=epoch_ms(),
    )
    services.catalog.put_key(group, document, old)


def _drop_environment_key(services: Services, group: Group) -> None:
    """A key that came from the environment is good only while it is there."""
    document = store.key_by_id(group.txn, ENVIRONMENT_KEY_ID)
    if document is not None:
        services.catalog.remove_key(group, document)


def save_last_used(services: Services) -> None:
    """Store the last uses noted since the last call, in one commit."""
    noted, services.last_used_ms = services.last_used_ms, {}
    if not noted:
        return

    def apply(group: Group) -> None:
        for key_id, used_ms in list(noted.items()):  # a request that has just come may still add its own
            document = store.key_by_id(group.txn, key_id)
            if document is not None and document.last_used_at_ms < used_ms:
                store.put_key(group.txn, replace(document, last_used_at_ms=used_ms))

    services.catalog.write(apply, frees_space=True)  # of bounded size, and a stop on a full disk must not fail


def _answer(services: Services, document: KeyDocument, secret: str | None = None) -> answers.Key:
    used_ms = max(document.last_used_at_ms, services.last_used_ms.get(document.id, 0))
    answer = answers.Key(
        id=document.id,
        name=document.name,
        role=document.role,
        tenant=services.tenant_name(document.tenant_id) if document.tenant_id is not None else None,
        created_at=moment_of(document.created_at_ms),
        expires_at=moment_of(document.expires_at_ms) if document.expires_at_ms else None,
        last_used_at=moment_of(used_ms) if used_ms else None,
    )
    if secret is not None:
        answer.key = secret
    return answer


def _is_key_id(text: str) -> bool:
    return bool(NAME.match(text))


def _key_id(text: str) -> str:
    if not _is_key_id(text):
        raise KeyNotFound("no such key")
    return text
