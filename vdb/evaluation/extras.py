"""The libraries of the extra `eval`: loaded when something is measured, asked for by name where missing."""

from importlib import import_module
from typing import Any

from vdb.errors import InvalidArgument


def library(name: str, purpose: str) -> Any:
    """The module `name`; InvalidArgument that says what to install for `purpose`."""
    try:
        return import_module(name)
    except ImportError as exc:
        package = name.partition(".")[0]
        raise InvalidArgument(f"{purpose} needs {package}: install vdb with the extra `eval`") from exc
