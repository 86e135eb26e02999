"""The calls on prompt templates. Pure: nothing is sent here."""

from vdb.client.point_calls import or_unset
from vdb.client.retry import Repeat
from vdb.client.wire import Call, call
from vdb.errors import InvalidArgument
from vdb.protocol import answers
from vdb.protocol.template_answers import Template, TemplateVersions
from vdb.types import NAME


def templates(collection: str) -> Call[list[TemplateVersions]]:
    return call("list_templates", (collection,), finish=lambda found: found.templates)


def template(collection: str, name: str, version: int | None) -> Call[Template]:
    return call("get_template", (collection, name), {"version": or_unset(version)})


def put_template(
    collection: str, name: str, system: str | None, passage: str | None, question: str | None, not_found: str | None
) -> Call[Template]:
    """Raises InvalidArgument for a name that no path can carry: it is to be made, so "not found" would mislead."""
    if not isinstance(name, str) or not NAME.match(name):
        raise InvalidArgument("a template's name is [a-z0-9][a-z0-9_-]{0,63}")
    texts = {"system": system, "passage": passage, "question": question, "not_found": not_found}
    return call("put_template", (collection, name), {field: or_unset(text) for field, text in texts.items()})


def delete_template(collection: str, name: str) -> Call[answers.Done]:
    return call("delete_template", (collection, name), repeat=Repeat.IF_REFUSED)
