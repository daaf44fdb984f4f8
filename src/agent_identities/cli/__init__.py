"""The agent-identities command."""

import sys
from typing import Annotated

import typer

from agent_identities import __version__
from agent_identities.cli import check, cluster, toolchain, verify
from agent_identities.errors import AgentIdentitiesError

app = typer.Typer(
    name="agent-identities",
    help="One least-privilege, short-lived identity on Kubernetes for each AI agent, and proof of what each can do.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False
) -> None:
    if version:
        typer.echo(f"agent-identities {__version__}")
        raise typer.Exit


for _module in (check, verify, cluster, toolchain):
    _module.register(app)


def main() -> None:
    """Runs the command. A user's mistake is one message on stderr and exit status 2, never a traceback."""
    try:
        app()
    except AgentIdentitiesError as error:
        sys.stderr.write(f"agent-identities: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("agent-identities: interrupted\n")
        sys.exit(130)
