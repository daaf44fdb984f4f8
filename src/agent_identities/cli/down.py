"""agent-identities down: stop a control plane that `up` started."""

import typer

from agent_identities.cli.up import Name
from agent_identities.cluster import DEFAULT_NAME


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Stop the API server of `up` and remove its files.")(down)


def down(name: Name = DEFAULT_NAME) -> None:
    """Stop the control plane that `agent-identities up` started, and delete its files."""
    from agent_identities.cluster import kept

    typer.echo(f"{name}: stopped" if kept.down(name) else f"{name}: not running")
