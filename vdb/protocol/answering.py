"""What answers from a collection are like where a request does not say: one shape of requests and answers."""

from typing import Literal

from msgspec import Struct

Order = Literal["score", "document", "edges", "prefix"]


class Answering(Struct, forbid_unknown_fields=True, kw_only=True):
    """Defaults of a collection's answers; null: the server's. Put whole: what is not given is null.

    `backend` writes them, `template` (a name, or `name@version`) tells it how, `cache` stands in front, under
    `category`. `limit` passages are looked for, `context_tokens` at most go into the context, in `order`. Less support
    than `threshold`, 0 to 1, is answered with "not found".
    """

    backend: str | None = None
    template: str | None = None
    cache: str | None = None
    category: str | None = None
    context_tokens: int | None = None
    limit: int | None = None
    threshold: float | None = None
    order: Order | None = None
