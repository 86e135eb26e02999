"""`vdb search`: the best points for a text, a vector (command line, standard input or a .npy file) or both."""

import argparse
import sys
from pathlib import Path
from typing import Any

from vdb.cli.commands import Commands
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected
from vdb.cli.values import json_value

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "search",
        _search,
        "find the points nearest to a vector, or best for a text",
        examples=(
            "vdb search handbook --tenant acme --text 'why does the pump leak' --group document",
            "vdb search docs --tenant acme --vector '[0.1, 0.2, 0.3]'",
            """vdb search docs --npy queries.npy --row 7 --limit 3 --filter '{"field": "lang", "eq": "en"}'""",
            "embed 'how do I pay?' | vdb search docs --vector - --json",
        ),
    )
    parser.add_argument("collection", metavar="COLLECTION", help="where to search")
    parser.add_argument(
        "--text", metavar="TEXT", help="look for these words; their meaning too, where it can be embedded"
    )
    parser.add_argument(
        "--mode", choices=("dense", "sparse", "hybrid"), help="which legs answer (default: all that can)"
    )
    parser.add_argument("--weight", type=float, metavar="X", help="share of the vectors in a hybrid search, 0 to 1")
    parser.add_argument("--group", metavar="FIELD", help="one hit for each value of a payload field, such as document")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--vector", metavar="JSON", help="the query as a JSON list; - reads it from standard input")
    source.add_argument("--npy", type=Path, metavar="FILE", help="take the query from a .npy file")
    parser.add_argument("--row", type=int, default=0, metavar="N", help="row of the .npy file (default: 0)")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="how many points (default: 10)")
    parser.add_argument("--filter", type=json_value, metavar="JSON", help="filter on the payload")
    parser.add_argument("--max-distance", type=float, metavar="X", help="leave out what is farther")
    parser.add_argument("--no-payload", action="store_true", help="leave payloads out")
    parser.add_argument("--with-vector", action="store_true", help="show vectors too")
    parser.add_argument("--exact", action="store_true", help="compare with every vector, index or not")
    parser.add_argument(
        "--recall", type=float, metavar="X", help="share of the true neighbours to find (default: 0.99)"
    )
    parser.add_argument("--budget", type=int, metavar="N", help="score N rows of the index")
    parser.add_argument("--rerank", type=int, metavar="N", help="compare N of them by their full vectors")
    parser.add_argument(
        "--backend", choices=("auto", "cpu", "gpu"), help="what searches vectors, where the server has a GPU"
    )
    parser.add_argument("--explain", action="store_true", help="say how the search went")
    add_server(parser, tenant=True)


def _search(given: argparse.Namespace, output: Output) -> int:
    vector = _row(given.npy, given.row) if given.npy is not None else None
    vector = _vector(given.vector) if given.vector is not None else vector
    if vector is None and given.text is None:
        raise WrongUsage("give --text, --vector or --npy")
    is_ranked = any(option is not None for option in (given.text, given.mode, given.weight, given.group))
    with connected(given) as client:
        hits = client.collection(given.collection).search(
            vector,
            given.limit,
            text=given.text,
            mode=given.mode,
            fusion=None if given.weight is None else {"weight": given.weight},
            group=given.group,
            filter=given.filter,
            max_distance=given.max_distance,
            with_payload=not given.no_payload,
            with_vector=given.with_vector,
            explain=given.explain,
            exact=given.exact,
            recall=given.recall,
            budget=given.budget,
            rerank=given.rerank,
            backend=given.backend,
        )
    columns = ["id", "owner", *(["score"] if is_ranked else []), "distance", "version"]
    columns += [] if given.no_payload else ["payload"]
    columns += ["vector"] if given.with_vector else []
    more = {"explain": hits.explain} if given.explain else {}
    output.listing("hits", hits, columns, sequence=hits.sequence, **more)
    if hits.explain is not None and not output.is_json:
        from vdb.cli.table import record

        output.line("explain:")
        output.lines(f"  {line}" for line in record(hits.explain))
    return ExitCode.OK


def _vector(text: str) -> Any:
    """The query of `--vector`: one list of numbers."""
    source = "standard input" if text == "-" else "--vector"
    try:
        vector = json_value(_typed() if text == "-" else text)
    except (argparse.ArgumentTypeError, UnicodeDecodeError) as exc:
        raise WrongUsage(f"{source}: {exc}") from exc
    is_list = isinstance(vector, list) and bool(vector)
    if not is_list or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in vector):
        raise WrongUsage(f"{source} must be one list of numbers")
    return vector


def _typed() -> str:
    return "" if sys.stdin is None else sys.stdin.read()  # None: it was closed before


def _row(path: Path, row: int) -> Any:
    """One row of a .npy file of shape (n, d), or the whole of one of shape (d,)."""
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as exc:
        raise WrongUsage(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (ValueError, EOFError) as exc:
        raise WrongUsage(f"{path} is not a .npy file of numbers") from exc
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise WrongUsage(f"{path} does not hold an array of numbers of one or two dimensions")
    rows = array.reshape(1, -1) if array.ndim == 1 else array
    if not 0 <= row < len(rows):
        raise WrongUsage(f"{path} has rows 0 to {len(rows) - 1}, not {row}")
    return np.array(rows[row])
