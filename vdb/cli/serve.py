"""`vdb serve`: start the server. Its options are the settings, taken from their dataclass."""

import argparse
import logging
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from vdb.cli.commands import Commands
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output
from vdb.config import RULES, Loaded, Settings, limit_blas_threads
from vdb.errors import VdbError
from vdb.layered import documentation, flag_of

_log = logging.getLogger(__name__)

NOT_OPTIONS = ("limits", *RULES.secrets)
"""Secrets are no options: every user of the machine may read a command line."""

_PATH_ENDS = ("_dir", "_file", "_log", "_cert", "_key")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "serve",
        _serve,
        "start the server on a data directory",
        description="Start the server on a data directory, and serve until SIGTERM or SIGINT.",
        examples=(
            "vdb serve --data-dir data",
            "VDB_MEMORY_BYTES=8589934592 vdb serve --port 9000",
            "vdb serve --config vdb.toml",
            "vdb serve --print-settings > vdb.toml",
        ),
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file, in TOML (default: $VDB_CONFIG)")
    parser.add_argument(
        "--print-settings",
        action="store_true",
        help="print the settings and where each came from, without secrets, and serve nothing",
    )
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """An option for every setting; what is not given stays None."""
    texts, defaults = documentation(Settings), Settings()
    for field in fields(Settings):
        if field.name in NOT_OPTIONS:
            continue
        default = getattr(defaults, field.name)
        text = f"{texts.get(field.name, '').rstrip('.')} (default: {_shown(default)})".replace("%", "%%")
        flag = flag_of(field.name)
        if isinstance(default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        elif field.name in RULES.choices:
            parser.add_argument(flag, choices=RULES.choices[field.name], help=text)
        elif isinstance(default, Path):
            parser.add_argument(flag, type=Path, metavar="PATH", help=text)
        else:
            parser.add_argument(flag, type=_kind_of(default), metavar=_metavar(field.name, default), help=text)


def _metavar(name: str, default: object) -> str:
    if isinstance(default, str):
        return "PATH" if name.endswith(_PATH_ENDS) else "TEXT"
    if isinstance(default, tuple):
        return "LIST"
    return "RATE" if name.endswith("_per_s") else "SECONDS" if name.endswith("_s") else "N"


def _kind_of(default: object) -> Callable[[str], Any]:
    return _list if isinstance(default, tuple) else type(default)


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return "none" if default in ("", ()) else str(default)


def _serve(given: argparse.Namespace, output: Output) -> int:
    names = (field.name for field in fields(Settings) if field.name not in NOT_OPTIONS)
    loaded = Settings.load(given.config, None, **{name: getattr(given, name) for name in names})
    if given.print_settings:
        output.lines(loaded.toml().splitlines())
        output.document(_document(loaded))
        return ExitCode.OK
    limit_blas_threads()
    from vdb_api.server import serve  # the server, and with it NumPy, is loaded by this command only

    try:
        serve(loaded.settings, output.announce, loaded.warnings)
    except (VdbError, OSError):
        raise
    except Exception as exc:  # a bug ends a server with its trace in the log, which other commands leave out
        _log.critical("the server ended by a bug", exc_info=exc)
        raise
    return ExitCode.OK


def _document(loaded: Loaded) -> dict[str, Any]:
    values = asdict(loaded.settings)
    hidden = {name: "***" for name in RULES.secrets if values[name]}
    return {"settings": values | hidden, "origins": dict(loaded.origins)}
