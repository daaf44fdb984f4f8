"""agent-identities up: start a control plane that keeps running after the command."""

import shlex
from typing import Annotated

import typer

from agent_identities.cluster import DEFAULT_NAME
from agent_identities.toolchain import DEFAULT_KUBERNETES

Name = Annotated[str, typer.Option(metavar="NAME", help="Name of the control plane. Several can run at the same time.")]


def up(
    name: Name = DEFAULT_NAME,
    *,
    kubernetes: Annotated[
        str | None, typer.Option(metavar="MINOR", help=f"Kubernetes minor. Default: {DEFAULT_KUBERNETES}.")
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT", min=0, max=65535, help="Port of the API server on 127.0.0.1; 0 selects a free port."
        ),
    ] = 0,
) -> None:
    """Start a Kubernetes API server on this machine, without containers, and print the command to use it.

    The API server runs until `agent-identities down`. If it is already up, nothing changes. For the shell:
    eval "$(agent-identities up)"
    """
    from agent_identities.cluster import kept  # slow to import: certificates

    control_plane = kept.up(name, kubernetes=kubernetes, port=port)
    typer.echo(f"Kubernetes {control_plane.kubernetes_version} is up at {control_plane.url}", err=True)
    typer.echo(f"export KUBECONFIG={shlex.quote(str(control_plane.kubeconfig))}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Start a Kubernetes API server on this machine.")(up)
