"""The command `vdb` of VectorDBBench's command line."""

from typing import Annotated, Any

import click
from pydantic import SecretStr
from vectordb_bench.backend.clients import DB
from vectordb_bench.cli.cli import CommonTypedDict, cli, click_parameter_decorators_from_typed_dict, run

from bench.vectordbbench.client.config import VdbCaseConfig, VdbConfig

__all__ = ["VdbTypedDict", "vdb"]


class VdbTypedDict(CommonTypedDict):  # type: ignore[misc]  # the harness has no types
    """The options of `vdb`, beside those of every database."""

    url: Annotated[str, click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The server")]
    api_key: Annotated[
        str, click.option("--api-key", envvar="VDB_API_KEY", required=True, help="An admin key; or VDB_API_KEY")
    ]
    collection_name: Annotated[
        str, click.option("--collection-name", default="vdbbench", show_default=True, help="The collection to fill")
    ]
    tenant: Annotated[
        str, click.option("--tenant", default="bench", show_default=True, help="The owner in cases with one tenant")
    ]
    tier: Annotated[
        str,
        click.option(
            "--tier", type=click.Choice(["auto", "memory", "hybrid", "disk"]), default="auto", help="Its tier"
        ),
    ]
    form: Annotated[
        str | None,
        click.option("--form", type=click.Choice(["lvq8", "lvq4", "float16", "float32"]), help="Its encoding"),
    ]
    dimension: Annotated[int | None, click.option("--dimension", type=int, help="Dimensions of the encoding")]
    recall: Annotated[float | None, click.option("--recall", type=float, help="The recall that searches aim at")]
    budget: Annotated[int | None, click.option("--budget", type=int, help="Rows scored, instead of a recall")]
    rerank: Annotated[int | None, click.option("--rerank", type=int, help="Rows compared by their full vectors")]
    exact: Annotated[bool, click.option("--exact", is_flag=True, help="Compare with every vector")]


@cli.command(name="vdb")  # type: ignore[untyped-decorator]
@click_parameter_decorators_from_typed_dict(VdbTypedDict)  # type: ignore[untyped-decorator]
def vdb(**parameters: Any) -> None:
    """Run a case against a vdb server."""
    case = {name: parameters[name] for name in VdbCaseConfig.model_fields if name in parameters}
    run(
        db=DB("Vdb"),
        db_config=VdbConfig(
            db_label=parameters["db_label"],
            url=parameters["url"],
            api_key=SecretStr(parameters["api_key"]),
            collection_name=parameters["collection_name"],
            tenant=parameters["tenant"],
        ),
        db_case_config=VdbCaseConfig(**case),
        **parameters,
    )
