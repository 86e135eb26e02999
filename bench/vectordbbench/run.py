"""`python -m bench.vectordbbench vdb …`: VectorDBBench's command line with the commands `vdb` and `made-up`.

The registration stands at the top, not under `main`: processes that the harness spawns import this module, and have to
know the database before they read what they were sent.
"""

from bench.vectordbbench.registration import register

register()

from bench.vectordbbench import local_files  # noqa: E402 (the harness is imported after the registration)

local_files.use()


def main() -> None:
    """Run the command line."""
    from vectordb_bench.cli.vectordbbench import cli

    from bench.vectordbbench import made_up
    from bench.vectordbbench.client.cli import vdb

    cli.add_command(vdb)
    cli.add_command(made_up.command)
    cli()


if __name__ == "__main__":
    main()
