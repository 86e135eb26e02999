"""Prompt templates of a collection: put, listed, read and removed by admins; which one holds for a question.

A put makes a new version, unless it says what the newest does. Of a template the newest versions are kept, and the one
that the collection's `answering` names. Templates go with their collection.
"""

from msgspec import UnsetType

from vdb.engine.answering.choices import answering_of, parted
from vdb.engine.commit import Group
from vdb.engine.services import Services
from vdb.engine.shard import epoch_ms
from vdb.engine.tenants import check_name, moment_of
from vdb.errors import CollectionNotFound, Conflict, InvalidArgument, LimitReached, TemplateNotFound, TooLarge
from vdb.protocol import answers, template_answers
from vdb.protocol.requests import Empty
from vdb.protocol.template_requests import GetTemplate, PutTemplate
from vdb.rag.prompt import DEFAULT_TEMPLATE, Template, check_template
from vdb.storage import catalog as catalog_store
from vdb.storage import templates as store
from vdb.storage.catalog import ACTIVE, AnsweringDocument, CollectionDocument
from vdb.storage.env import Transaction
from vdb.storage.keyspace import LAST_NUMBER
from vdb.storage.templates import TemplateDocument
from vdb.types import NAME, Caller

__all__ = ["check_named", "delete_template", "get_template", "list_templates", "put_template", "template_of"]


def put_template(
    services: Services, caller: Caller, path: tuple[str, ...], request: PutTemplate
) -> template_answers.Template:
    """Put a template; its new version, or the newest where that says the same already.

    Raises CollectionNotFound, InvalidArgument, TooLarge, LimitReached.
    """
    collection, name = services.usable(caller, path[0]), check_name(path[1], "")
    limits = services.settings.limits
    if name == DEFAULT_TEMPLATE.name:
        raise InvalidArgument(f"{name} is the built-in template: give yours another name")
    texts = _texts(request)
    n_bytes = sum(len(_encoded(field, text)) for field, text in texts.items())
    if n_bytes > limits.max_template_bytes:
        raise TooLarge(f"the texts of a template have up to {limits.max_template_bytes} bytes, not {n_bytes}")
    check_template(Template(name=name, version=1, **texts))

    def apply(group: Group) -> TemplateDocument:
        versions = store.versions_of(group.txn, collection.id, name)
        _check_there(group.txn, collection)
        if not versions:
            names = {known for known, _ in store.iterate_templates(group.txn, collection.id)}
            if len(names) >= limits.max_templates_per_collection:
                raise LimitReached(f"a collection holds up to {limits.max_templates_per_collection} templates")
        newest = store.read_template(group.txn, collection.id, name, versions[-1]) if versions else None
        document = TemplateDocument(
            collection_id=collection.id,
            name=name,
            version=versions[-1] + 1 if versions else 1,
            created_at_ms=epoch_ms(),
            **texts,
        )
        if newest is not None and newest.is_same_text(document):
            return newest
        kept = _named(group.txn, collection)
        spare = [version for version in versions if (name, version) != kept]
        for version in spare[: max(0, len(versions) + 1 - limits.max_versions_per_template)]:
            store.remove_template(group.txn, collection.id, name, version)
        store.put_template(group.txn, document)
        return document

    return _answer(services.catalog.write(apply, 1024 + n_bytes))


def list_templates(
    services: Services, caller: Caller, path: tuple[str, ...], request: Empty
) -> template_answers.Templates:
    """The collection's templates and their versions, by name; raises CollectionNotFound."""
    collection = services.usable(caller, path[0])
    found: dict[str, list[int]] = {}
    with services.catalog.env.read() as txn:
        for name, version in store.iterate_templates(txn, collection.id):
            found.setdefault(name, []).append(version)
    listed = [template_answers.TemplateVersions(name=name, versions=versions) for name, versions in found.items()]
    return template_answers.Templates(templates=listed)


def get_template(
    services: Services, caller: Caller, path: tuple[str, ...], request: GetTemplate
) -> template_answers.Template:
    """A template, also the built-in one; raises CollectionNotFound, TemplateNotFound."""
    collection, name = services.usable(caller, path[0]), path[1]
    version = None if isinstance(request.version, UnsetType) else request.version
    if name == DEFAULT_TEMPLATE.name and version in (None, DEFAULT_TEMPLATE.version):
        texts = {field: getattr(DEFAULT_TEMPLATE, field) for field in _FIELDS}
        return template_answers.Template(name=name, version=DEFAULT_TEMPLATE.version, created_at=None, **texts)
    with services.catalog.env.read() as txn:
        document = _stored(txn, collection, name, version)
    if document is None:
        raise TemplateNotFound("the collection has no such template")
    return _answer(document)


def delete_template(services: Services, caller: Caller, path: tuple[str, ...], request: Empty) -> answers.Done:
    """Remove a template with all its versions; raises TemplateNotFound, Conflict (the collection's answers use it)."""
    collection, name = services.usable(caller, path[0]), path[1]

    def apply(group: Group) -> None:
        versions = store.versions_of(group.txn, collection.id, name) if NAME.match(name) else []
        if not versions:
            raise TemplateNotFound("the collection has no such template")
        named = _named(group.txn, collection)
        if named is not None and named[0] == name:
            raise Conflict("the collection's answering names the template")
        for version in versions:
            store.remove_template(group.txn, collection.id, name, version)

    services.catalog.write(apply, frees_space=True)
    return answers.Done()


def check_named(txn: Transaction, collection_id: int, answering: AnsweringDocument | None) -> None:
    """Raise InvalidArgument where a collection is to name a template that it does not have."""
    if answering is None or answering.template is None:
        return
    name, version = parted(answering.template, "/answering/template")
    known = store.versions_of(txn, collection_id, name)
    if name == DEFAULT_TEMPLATE.name:
        known = [DEFAULT_TEMPLATE.version]
    if not known or version not in (None, *known):
        raise InvalidArgument.at("/answering/template", "the collection has no such template")


def template_of(
    services: Services, collection: CollectionDocument, wanted: str | None, pointer: str = "/template"
) -> Template:
    """The template that a question wants, by name or `name@version`; None: the collection's, else the built-in one.

    Raises TemplateNotFound, at `pointer`, and InvalidArgument.
    """
    wanted = answering_of(collection).template if wanted is None else wanted
    if wanted is None:
        return DEFAULT_TEMPLATE
    name, version = parted(wanted, pointer)
    if name == DEFAULT_TEMPLATE.name:
        if version in (None, DEFAULT_TEMPLATE.version):
            return DEFAULT_TEMPLATE
        raise TemplateNotFound.at(pointer, "the built-in template has no such version")
    with services.catalog.env.read() as txn:
        document = _stored(txn, collection, name, version)
    if document is None:
        raise TemplateNotFound.at(pointer, "the collection has no such template")
    return Template(document.name, document.version, *document.texts)


_FIELDS = ("system", "passage", "question", "not_found")


def _texts(request: PutTemplate) -> dict[str, str]:
    found = {}
    for field in _FIELDS:
        given = getattr(request, field)
        found[field] = getattr(DEFAULT_TEMPLATE, field) if isinstance(given, UnsetType) else given
    return found


def _encoded(field: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgument.at(f"/{field}", "not valid Unicode") from exc


def _check_there(txn: Transaction, collection: CollectionDocument) -> None:
    """Nothing is stored of a collection that is being deleted: its templates go, once."""
    known = catalog_store.collection_by_id(txn, collection.id)
    if known is None or known.state != ACTIVE:
        raise CollectionNotFound("no such collection")


def _named(txn: Transaction, collection: CollectionDocument) -> tuple[str, int | None] | None:
    """What the collection's answering names."""
    known = catalog_store.collection_by_id(txn, collection.id)
    template = None if known is None else answering_of(known).template
    return None if template is None else parted(template, "")


def _stored(
    txn: Transaction, collection: CollectionDocument, name: str, version: int | None
) -> TemplateDocument | None:
    if not NAME.match(name):
        return None
    if version is None:
        versions = store.versions_of(txn, collection.id, name)
        if not versions:
            return None
        version = versions[-1]
    if not 0 < version <= LAST_NUMBER:
        return None
    return store.read_template(txn, collection.id, name, version)


def _answer(document: TemplateDocument) -> template_answers.Template:
    texts = {field: getattr(document, field) for field in _FIELDS}
    return template_answers.Template(
        name=document.name, version=document.version, created_at=moment_of(document.created_at_ms), **texts
    )
