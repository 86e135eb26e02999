"""The libraries of the extra `transfer`: loaded when a file needs one, and asked for by name where they are missing."""

from importlib import import_module
from typing import Any

from vdb.errors import InvalidArgument


def library(name: str) -> Any:
    """The module `name`; InvalidArgument that says what to install."""
    try:
        return import_module(name)
    except ImportError as exc:
        package = name.partition(".")[0]
        raise InvalidArgument(f"this format needs {package}: install vdb with the extra `transfer`") from exc
