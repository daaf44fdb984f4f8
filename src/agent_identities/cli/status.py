"""agent-identities status: print the state and the address of a control plane that `up` started."""

import shlex

import typer

from agent_identities.cli.up import Name
from agent_identities.cluster import DEFAULT_NAME


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Print whether the API server of `up` is up.")(status)


def status(name: Name = DEFAULT_NAME) -> None:
    """Print the state of the control plane: its address and start time, or why it died. Exit status: 0 up, else 1."""
    from agent_identities.cluster import kept

    found = kept.status(name)
    if found.state != "up":
        died = found.state == "died"
        hint = "To remove its files: agent-identities down" if died else "To start it: agent-identities up"
        chosen = "" if name == DEFAULT_NAME else f" --name {name}"
        typer.echo(f"{name}: {found.state}\n{found.reason}".rstrip())
        typer.echo(f"{hint}{chosen}", err=True)
        raise typer.Exit(1)
    typer.echo(
        f"{name}: up, Kubernetes {found.version} at {found.url}, pid {found.supervisor_pid}, since {found.since}"
    )
    if found.reason:
        typer.echo(found.reason, err=True)
    typer.echo(f"export KUBECONFIG={shlex.quote(str(found.kubeconfig))}")
