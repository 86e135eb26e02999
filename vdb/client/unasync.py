"""Make the synchronous methods from the asynchronous ones: `python -m vdb.client.unasync` rewrites both files.

The rewriting is textual and knows only the words below, so the source keeps to them. A test compares what is committed
with what this makes.
"""

import re
from pathlib import Path

PAIRS = {
    "aio.py": "sync.py",
    "aio_answer_stream.py": "answer_stream.py",
    "aio_cache.py": "cache.py",
    "aio_collection.py": "collection.py",
}
"""Source and generated file, beside this one."""

_WORDS = (
    (r"\basync def __aenter__", "def __enter__"),
    (r"\basync def __aexit__", "def __exit__"),
    (r"\basync def __anext__", "def __next__"),
    (r"\bdef __aiter__", "def __iter__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\baio_(answer_stream|cache|collection)\b", r"\1"),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"\bAwaitable, ", ""),
    (r"\bhttp_aio\b", "http_sync"),
    (r"for (\w+) in (\w+):\n +yield \1\n", r"yield from \2\n"),
    (r"many tasks of one event loop", "many threads"),
)
_TITLE = re.compile(r'\A"""(?P<what>[^:]+): the methods.*?\n\n', re.DOTALL)


def to_sync(text: str, source: str) -> str:
    """The synchronous twin of a module's `text`."""
    for pattern, word in _WORDS:
        text = re.sub(pattern, word, text)
    text = _TITLE.sub(
        rf'"""\g<what>, synchronous. Generated from {source} by vdb.client.unasync: edit that one.\n\n', text
    )
    return _sorted_imports(text)


def _sorted_imports(text: str) -> str:
    """Imported names change their order with their spelling."""

    def in_order(found: re.Match[str]) -> str:
        return found[1] + ", ".join(sorted(found[2].split(", "), key=_import_key))

    text = re.sub(r"^(from \S+ import )([\w, ]+)$", in_order, text, flags=re.MULTILINE)
    return re.sub(r"^(?:from vdb\S* import [\w, ]+\n)+", _modules_in_order, text, flags=re.MULTILINE)


def _modules_in_order(found: re.Match[str]) -> str:
    """So do the modules that they come from."""
    return "".join(sorted(found[0].splitlines(keepends=True), key=lambda line: line.split()[1]))


def _import_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions: as ruff sorts."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, name


def main() -> None:
    here = Path(__file__).parent
    for source, made in PAIRS.items():
        here.joinpath(made).write_text(to_sync(here.joinpath(source).read_text(), source))


if __name__ == "__main__":
    main()
