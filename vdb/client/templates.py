"""Prompt templates of a collection, synchronous. Generated from aio_templates.py by vdb.client.unasync: edit that one.

Every method builds a call, hands it to the transport and returns what the call makes of the answer.
"""

from typing import TypeVar

from vdb.client import template_calls
from vdb.client.wire import Call
from vdb.protocol.answers import Done
from vdb.protocol.template_answers import Template, TemplateVersions

T = TypeVar("T")


class Templates:
    """What a collection's methods on its prompt templates are; they are for admins."""

    _name: str

    def _run(self, sent: Call[T]) -> T:
        raise NotImplementedError

    def templates(self) -> list[TemplateVersions]:
        """The prompt templates of the collection and the versions that are kept."""
        return self._run(template_calls.templates(self._name))

    def template(self, name: str, version: int | None = None) -> Template:
        """A template, its newest version unless another is named; `default` is the built-in one."""
        return self._run(template_calls.template(self._name, name, version))

    def put_template(
        self,
        name: str,
        *,
        system: str | None = None,
        passage: str | None = None,
        question: str | None = None,
        not_found: str | None = None,
    ) -> Template:
        """Put a template whole, as a new version; texts that are not given are those of the built-in one."""
        return self._run(template_calls.put_template(self._name, name, system, passage, question, not_found))

    def delete_template(self, name: str) -> Done:
        """Delete a template and all its versions; raises Conflict while the collection's `answering` names it."""
        return self._run(template_calls.delete_template(self._name, name))
