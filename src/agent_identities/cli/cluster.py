"""`agent-identities up`, `down` and `status`: a control plane that stays between commands."""

import shlex
from typing import Annotated

import typer

from agent_identities.cluster import DEFAULT_NAME
from agent_identities.toolchain import DEFAULT_KUBERNETES

Name = Annotated[str, typer.Option(metavar="NAME", help="Which one: any number of them can be up side by side.")]


def up(
    name: Name = DEFAULT_NAME,
    *,
    kubernetes: Annotated[
        str | None, typer.Option(metavar="MINOR", help=f"Kubernetes minor, {DEFAULT_KUBERNETES} unless given.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the API server on 127.0.0.1; 0 takes a free one.")
    ] = 0,
) -> None:
    """Start a real Kubernetes API server on this machine, without containers, and print how to use it.

    It runs until `agent-identities down`; when it is up already, nothing changes.
    For the shell: eval "$(agent-identities up)"
    """
    from agent_identities.cluster import kept  # slow to import: certificates

    control_plane = kept.up(name, kubernetes=kubernetes, port=port)
    typer.echo(f"Kubernetes {control_plane.kubernetes_version} is up at {control_plane.url}", err=True)
    typer.echo(f"export KUBECONFIG={shlex.quote(str(control_plane.kubeconfig))}")


def down(name: Name = DEFAULT_NAME) -> None:
    """End what `agent-identities up` started and remove all its files."""
    from agent_identities.cluster import kept

    typer.echo(f"{name}: ended" if kept.down(name) else f"{name}: nothing was up")


def status(name: Name = DEFAULT_NAME) -> None:
    """Say whether it is up, where, and since when; if it died, of what. The exit status is 0 when it is up, else 1."""
    from agent_identities.cluster import kept

    found = kept.status(name)
    if found.state != "up":
        hint = (
            "To clear it away: agent-identities down" if found.state == "died" else "To start it: agent-identities up"
        )
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


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
