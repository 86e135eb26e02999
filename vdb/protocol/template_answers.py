"""Answer shapes of prompt templates. Conventions: `vdb.protocol.answers`."""

from datetime import datetime

from msgspec import Struct


class Template(Struct, kw_only=True):
    """One version of a template; `created_at` null: it is the built-in one."""

    name: str
    version: int
    system: str
    passage: str
    question: str
    not_found: str
    created_at: datetime | None


class TemplateVersions(Struct, kw_only=True):
    """A template's name and the versions that are kept; the last one holds where none is asked for."""

    name: str
    versions: list[int]


class Templates(Struct, kw_only=True):
    """The templates of a collection, by name, the built-in one apart."""

    templates: list[TemplateVersions]
