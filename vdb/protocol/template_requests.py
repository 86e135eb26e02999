"""Request shapes of prompt templates. Conventions: `vdb.protocol.requests`."""

from msgspec import UNSET, UnsetType

from vdb.protocol.requests import Request


class PutTemplate(Request):
    """A new version of a template, put whole: what is not given is as in the built-in one.

    `system` holds `{context}`; `passage` `{n}` and `{text}`, and may hold `{title}` and `{heading}`; `question` holds
    `{question}`; `{{` and `}}` are braces. `not_found` is the answer where there is none.
    """

    system: str | UnsetType = UNSET
    passage: str | UnsetType = UNSET
    question: str | UnsetType = UNSET
    not_found: str | UnsetType = UNSET


class GetTemplate(Request):
    """One `version`; not given: the newest."""

    version: int | UnsetType = UNSET
