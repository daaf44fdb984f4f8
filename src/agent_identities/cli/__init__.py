"""The agent-identities command."""

import gc
from typing import Annotated

import typer

from agent_identities import __version__
from agent_identities.cli import (
    attack,
    check,
    down,
    process,
    quarantine,
    rightsize,
    status,
    toolchain,
    trace,
    up,
    verify,
    ways_in,
)

app = typer.Typer(
    name="agent-identities",
    help="One least-privilege, short-lived identity on Kubernetes for each AI agent, and proof of what each can do.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text, as of kubectl and helm: rich takes longer to import than all the rest
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:  # noqa: FBT001  # typer hands over the option's value
    if asked:
        typer.echo(f"agent-identities {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for _module in (check, verify, ways_in, attack, trace, rightsize, quarantine, up, down, status, toolchain):
    _module.register(app)


def main() -> None:
    """Run the command, and exit as `process.run` says."""
    gc.set_threshold(50_000, 20, 100)  # the command reads thousands of objects without reference cycles
    process.run(app)
